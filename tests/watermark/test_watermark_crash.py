"""The file store on a disk that dies or fails at each step: no released signature is above what is left."""

import asyncio
import contextlib
import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_disk import Died, FaultyDisk
from mark_samples import CHAIN, OTHER_CHAIN, TZ1, TZ2, ahead, mark, opened, put_older, put_v2, written

from signatory.errors import ConfigError, UnavailableError, WatermarkError
from signatory.files import Disk
from signatory.watermark.anchor import Epoch, moved
from signatory.watermark.file import FileStore
from signatory.watermark.rules import Mark

STEPS = 400
"""More than any workload here has."""

Released = list[tuple[str, str, str, Mark]]


class Kept:
    """An anchor elsewhere, which outlives the machine."""

    place = "elsewhere"

    def __init__(self, disk: FaultyDisk | None = None, epoch: Epoch | None = None) -> None:
        self.disk, self.epoch = disk, epoch

    async def read(self) -> Epoch | None:
        return self.epoch

    async def write(self, epoch: Epoch) -> None:
        if self.disk and self.disk.dead:
            raise Died
        if moved(self.place, self.epoch, epoch):
            self.epoch = epoch

    async def close(self) -> None:
        pass


async def settled(store: FileStore) -> None:
    """Wait for what follows a new journal beside the signatures, so that steps come in one order."""
    if store._rolled:
        await asyncio.wait([store._rolled])


async def one(store: FileStore, released: Released, chain: str, pkh: str, kind: str, proposed: Mark) -> None:
    await store.advance(chain, pkh, kind, proposed)
    released.append((chain, pkh, kind, proposed))


async def workload(base: Path, disk: FaultyDisk, anchor: Kept, released: Released) -> None:
    """Two lives of a daemon: batches, several journals, both chains, a lift, clean stops."""
    for life in (0, 1):
        store = await opened(base, disk=disk, anchor=anchor, limit=250)
        try:
            for step in range(3):
                level = 10 + 5 * life + step
                rows = [
                    (CHAIN, TZ1, "block"),
                    (CHAIN, TZ1, "attestation"),
                    (CHAIN, TZ2, "preattestation"),
                    (OTHER_CHAIN, TZ1, "attestation_with_dal"),
                ][: 1 + step]
                results = await asyncio.gather(
                    *(one(store, released, *row, mark(level)) for row in rows), return_exceptions=True
                )
                for error in filter(None, results):
                    raise error
                await settled(store)
            await store.lift({CHAIN: {TZ2: {"block": Mark(30 + life, 0)}}})
            released.append((CHAIN, TZ2, "block", Mark(30 + life, 0)))
            await settled(store)
            await one(store, released, CHAIN, TZ1, "block", mark(level))  # the same bytes again
            await one(store, released, CHAIN, TZ1, "preattestation", mark(level))
        finally:
            with contextlib.suppress(Died):
                await store.close()
        if disk.dead:
            raise Died


def nothing(_: Path) -> Released:
    """A fresh folder."""
    return []


def files(base: Path) -> Released:
    """A folder of Signatory. Returns what it protects."""
    put_v2(base)
    return [(CHAIN, TZ1, "block", Mark(2, 0))]


def older(base: Path) -> Released:
    """Folders of older versions. Returns what they protect."""
    put_older(base)
    kinds = {"block": 7, "attestation": 6, "attestation_with_dal": 6, "preattestation": 6}
    return [(CHAIN, TZ1, kind, Mark(level, 0)) for kind, level in kinds.items()]


async def second_life(base: Path, disk: FaultyDisk, anchor: Kept, released: Released) -> None:
    """The process died, the machine did not: the next one signs on what is in the caches."""
    disk.dead, disk._at = False, 0
    store = await opened(base, disk=disk, anchor=anchor)
    await one(store, released, CHAIN, TZ1, "attestation", mark(40))
    disk.dead = True
    with contextlib.suppress(Died):
        await store.close()


async def check(
    base: Path, anchor: Epoch | None, released: Released, before: Released | tuple[()] = ()
) -> None:
    """Nothing that was released can be contradicted: not by us, and not by Signatory where it can start.

    `before` is what the folder protected at first, in a form that Signatory migrates by itself.
    """
    signatory = signatory_reads(base)
    store = await opened(base, disk=FaultyDisk(base), anchor=Kept(epoch=anchor))
    for chain, pkh, kind, proposed in before:
        with pytest.raises(WatermarkError):
            await store.advance(chain, pkh, kind, mark(proposed.level, proposed.round, digit=9))
    for chain, pkh, kind, proposed in released:
        if signatory is not None:
            row = signatory[chain][pkh][kind]
            assert (row["level"], row["round"]) >= (proposed.level, proposed.round)
        now = await store.current(chain, pkh, kind)
        assert now is not None
        assert (now.level, now.round) >= (proposed.level, proposed.round)
        with pytest.raises(WatermarkError):
            await store.advance(chain, pkh, kind, mark(proposed.level, proposed.round, digit=9))
        if now == proposed and now.hash:
            await store.advance(chain, pkh, kind, now)
    await store.close()
    assert not ahead(base).exists()
    after = signatory_reads(base)
    assert after is not None
    for chain, pkh, kind, proposed in released:
        assert after[chain][pkh][kind]["level"] >= proposed.level


def signatory_reads(base: Path) -> dict | None:  # type: ignore[type-arg]  # foreign JSON
    """The marks that Signatory would start on; None where it refuses the folder."""
    folder = base / "watermark_v2"
    if not folder.exists():
        return {}  # or those of older folders: either way nothing may have been released yet
    names = [path for path in folder.iterdir() if path.name.endswith(".json") and path.name[0] != "."]
    if any(not path.name.startswith("Net") for path in names):
        return None
    return {path.name.removesuffix(".json"): json.loads(path.read_bytes()) for path in names}


@pytest.mark.parametrize("prepare", [nothing, files, older])
async def test_whatever_a_power_cut_at_any_step_leaves_no_released_mark_is_lost(
    tmp_path: Path, prepare: Callable[[Path], Released]
) -> None:
    seen: set[str] = set()
    for step in range(1, STEPS):
        base = tmp_path / f"{step}"
        base.mkdir()
        before = prepare(base)
        disk = FaultyDisk(base, step)
        anchor, released = Kept(disk), []
        with contextlib.suppress(Died, UnavailableError):
            await workload(base, disk, anchor, released)
        for _, survivor in disk.survivors(tmp_path / "survivors"):
            await check(survivor, anchor.epoch, released, before)
        seen.update(disk.steps[step - 1 :])
        if not disk.dead:
            break
        await second_life(base, disk, anchor, released)
        _, survivor = next(disk.survivors(tmp_path / "second"))
        await check(survivor, anchor.epoch, released, before)
        shutil.rmtree(tmp_path / "second")
        shutil.rmtree(tmp_path / "survivors")
        shutil.rmtree(base)
    else:
        pytest.fail("the workload has more steps than were tried")
    assert len(released) == 2 * (1 + 2 + 3 + 1 + 1 + 1)
    assert {"write", "sync", "replace", "sync_folder", "create", "unlink"} <= seen


async def test_a_crash_while_a_crash_is_mended_loses_nothing_either(tmp_path: Path) -> None:
    released: Released = []
    first = tmp_path / "first"
    first.mkdir()
    disk = FaultyDisk(first)
    store = await opened(first, disk=disk)
    await one(store, released, CHAIN, TZ1, "block", mark(4))
    disk.dead = True
    with contextlib.suppress(Died):
        await store.close()
    found = dict(disk.survivors(tmp_path / "survivors"))["names-lost-data-lost"]
    for step in range(1, STEPS):
        base = tmp_path / f"{step}"
        shutil.copytree(found, base)
        disk = FaultyDisk(base, step)
        with contextlib.suppress(Died, UnavailableError):
            store = await opened(base, disk=disk)
            with contextlib.suppress(Died):
                await store.close()
        for _, survivor in disk.survivors(tmp_path / f"{step}-survivors"):
            await check(survivor, None, released)
        if not disk.dead:
            break
    assert step > 10


@pytest.mark.parametrize(
    ("prepare", "number", "times"),
    [(older, errno.EIO, 1), (nothing, errno.ENOSPC, 1), (nothing, errno.ENOSPC, 7)],
)
async def test_a_disk_that_fails_at_any_step_is_unavailable_and_releases_nothing_that_is_not_durable(
    tmp_path: Path, prepare: Callable[[Path], Released], number: int, times: int
) -> None:
    told = 0
    for step in range(1, STEPS):
        base = tmp_path / f"{step}"
        base.mkdir()
        before = prepare(base)
        disk = FaultyDisk(base, step, error=number, times=times)
        released: Released = []
        failed = await stubborn(base, disk, released)
        for _, survivor in disk.survivors(tmp_path / "survivors"):
            await check(survivor, None, released, before)
        shutil.rmtree(tmp_path / "survivors")
        shutil.rmtree(base)
        if len(disk.steps) < step:
            break
        told += failed
    else:
        pytest.fail("the workload has more steps than were tried")
    assert told > 10
    assert not failed


async def stubborn(base: Path, disk: Disk, released: Released) -> int:
    """A client that sends the same bytes until they pass. Returns how often it was told to come again."""
    failed, store = 0, FileStore(base, disk=disk, limit=150)
    while True:
        try:
            await store.open()
            break
        except UnavailableError:
            failed += 1
    for level in range(10, 14):
        for kind in ("block", "attestation"):
            while True:
                try:
                    await one(store, released, CHAIN, TZ1, kind, mark(level))
                    break
                except UnavailableError:
                    failed += 1
                    with pytest.raises(WatermarkError):
                        await store.advance(CHAIN, TZ1, kind, mark(level, digit=8))
            await settled(store)
    await store.close()
    return failed


async def test_after_a_failed_sync_the_same_file_is_never_written_again(tmp_path: Path) -> None:
    disk = FaultyDisk(tmp_path)
    store = await opened(tmp_path, disk=disk)
    await store.advance(CHAIN, TZ1, "block", mark(1))
    disk.steps.clear()
    disk._at, disk._error = 2, errno.EIO
    with pytest.raises(UnavailableError, match="Input/output error") as caught:
        await store.advance(CHAIN, TZ1, "block", mark(2))
    assert caught.value.hint
    assert disk.steps == ["write", "sync"]
    await store.advance(CHAIN, TZ1, "block", mark(2))
    assert disk.steps[2:7] == ["create", "write", "sync", "replace", "sync_folder"]
    await settled(store)
    await store.close()


async def test_a_journal_that_lost_its_name_is_noticed_before_anything_is_released(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.advance(CHAIN, TZ1, "block", mark(1))
    shutil.move(tmp_path / "watermark_journal", tmp_path / "moved")
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await store.advance(CHAIN, TZ1, "block", mark(2))
    await store.close()
    assert ahead(tmp_path).exists()
    with pytest.raises(ConfigError, match="newer marks are lost") as caught:
        await opened(tmp_path)
    assert "--restored" in str(caught.value.hint)
    (tmp_path / "watermark_journal").rmdir()
    shutil.move(tmp_path / "moved", tmp_path / "watermark_journal")
    store = await opened(tmp_path)
    with pytest.raises(WatermarkError):
        await store.advance(CHAIN, TZ1, "block", mark(1, digit=9))
    await store.close()
    assert json.loads(written(tmp_path).read_bytes())[TZ1]["block"]["level"] == 2
