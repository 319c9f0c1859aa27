"""Group commit: many at once share a sync, conflicts pass once, whoever goes away changes nothing."""

import asyncio
import random
import threading
from pathlib import Path

import pytest
from mark_samples import CHAIN, TZ1, journal_of, mark, opened, pkh

from signatory.errors import MalformedError, UnavailableError, WatermarkError
from signatory.files import Disk
from signatory.watermark import journal
from signatory.watermark.committer import Committer
from signatory.watermark.rules import Mark


class CountingDisk(Disk):
    """Counts syncs of files; `gate` holds them back until it is open."""

    def __init__(self) -> None:
        self.syncs = 0
        self.gate = threading.Event()
        self.gate.set()

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        assert self.gate.wait(60)
        super().sync(descriptor)


async def test_64_marks_at_once_share_one_sync(tmp_path: Path) -> None:
    disk = CountingDisk()
    store = await opened(tmp_path, disk=disk)
    await store.advance(CHAIN, TZ1, "block", mark(1))
    before = disk.syncs
    await asyncio.gather(*(store.advance(CHAIN, pkh(row), "block", mark(1)) for row in range(64)))
    assert disk.syncs == before + 1
    await store.close()


async def test_64_tasks_that_sign_one_mark_after_another_sync_once_for_all(tmp_path: Path) -> None:
    disk = CountingDisk()
    store = await opened(tmp_path, disk=disk)
    before, rounds = disk.syncs, 20

    async def baker(row: int) -> None:
        for level in range(rounds):
            await store.advance(CHAIN, pkh(row), "attestation", mark(level))

    await asyncio.gather(*(baker(row) for row in range(64)))
    assert disk.syncs - before <= rounds + 2
    await store.close()


async def test_those_who_come_while_a_batch_syncs_wait_for_the_next_one_together(tmp_path: Path) -> None:
    disk = CountingDisk()
    store = await opened(tmp_path, disk=disk)
    await store.advance(CHAIN, TZ1, "block", mark(1))
    before = disk.syncs
    disk.gate.clear()
    first = asyncio.create_task(store.advance(CHAIN, "first", "block", mark(1)))
    while disk.syncs == before:  # noqa: ASYNC110 - a thread counts
        await asyncio.sleep(0)
    others = [asyncio.create_task(store.advance(CHAIN, pkh(row), "block", mark(1))) for row in range(30)]
    again = asyncio.create_task(store.advance(CHAIN, "first", "block", mark(1)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not any(task.done() for task in (first, again, *others))
    disk.gate.set()
    await asyncio.gather(first, again, *others)
    assert disk.syncs == before + 2
    await store.close()


async def test_marks_that_are_raised_while_a_batch_syncs_are_durable_when_that_returns(
    tmp_path: Path,
) -> None:
    disk = CountingDisk()
    store = await opened(tmp_path, disk=disk)
    await store.advance(CHAIN, TZ1, "block", mark(1))
    before = disk.syncs
    disk.gate.clear()
    first = asyncio.create_task(store.advance(CHAIN, TZ1, "block", mark(2)))
    while disk.syncs == before:  # noqa: ASYNC110 - a thread counts
        await asyncio.sleep(0)
    raised = asyncio.create_task(store.lift({CHAIN: {TZ1: {"attestation": mark(7)}}}))
    await asyncio.sleep(0)
    disk.gate.set()
    await asyncio.gather(first, raised)
    found = journal.read(journal_of(tmp_path).read_bytes())
    assert found.marks == {CHAIN: {TZ1: {"block": mark(2), "attestation": mark(7)}}}
    await store.close()


async def test_the_same_bytes_again_cost_no_sync_once_they_are_durable(tmp_path: Path) -> None:
    disk = CountingDisk()
    store = await opened(tmp_path, disk=disk)
    await store.advance(CHAIN, TZ1, "block", mark(1))
    before = disk.syncs
    await store.advance(CHAIN, TZ1, "block", mark(1))
    assert disk.syncs == before
    await store.close()


@pytest.mark.parametrize("kinds", [("block",), ("attestation", "attestation_with_dal")])
async def test_of_ten_that_conflict_exactly_one_passes(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    store = await opened(tmp_path)
    results = await asyncio.gather(
        *(store.advance(CHAIN, TZ1, kinds[row % len(kinds)], mark(4, digit=row)) for row in range(10)),
        return_exceptions=True,
    )
    assert results.count(None) == 1
    assert sum(isinstance(result, WatermarkError) for result in results) == 9
    await store.close()


async def test_ten_with_the_same_bytes_all_pass(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await asyncio.gather(*(store.advance(CHAIN, TZ1, "block", mark(4)) for _ in range(10)))
    await store.close()


async def test_a_storm_of_callers_that_go_away_leaves_every_mark_as_if_they_had_stayed(
    tmp_path: Path,
) -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    store = await opened(tmp_path, limit=2000)
    released: set[tuple[str, int]] = set()

    async def baker(key: str) -> None:
        for level in range(1, 40):
            task = asyncio.create_task(store.advance(CHAIN, key, "block", mark(level)))
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                task.cancel()
            if (await asyncio.gather(task, return_exceptions=True))[0] is None:
                released.add((key, level))

    keys = [pkh(row) for row in range(20)]
    await asyncio.gather(*(baker(key) for key in keys))
    await store.close()
    store = await opened(tmp_path)
    for key, level in released:
        with pytest.raises(WatermarkError):
            await store.advance(CHAIN, key, "block", mark(level, digit=9))
    await store.close()


async def test_a_stop_waits_for_what_was_begun(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    tasks = [asyncio.create_task(store.advance(CHAIN, pkh(row), "block", mark(1))) for row in range(20)]
    await asyncio.sleep(0)
    await asyncio.gather(store.close(), store.close())
    await asyncio.gather(*tasks)
    with pytest.raises(UnavailableError, match="closed"):
        await store.advance(CHAIN, TZ1, "block", mark(1))
    store = await opened(tmp_path)
    assert all([await store.current(CHAIN, pkh(row), "block") == mark(1) for row in range(20)])
    await store.close()


async def test_a_stop_that_is_cancelled_completes(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.advance(CHAIN, TZ1, "block", mark(1))
    task = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.close()
    store = await opened(tmp_path)
    assert await store.current(CHAIN, TZ1, "block") == mark(1)
    await store.close()


async def test_a_start_that_is_cancelled_lets_go_of_the_folders(tmp_path: Path) -> None:
    for turns in range(12):
        task = asyncio.create_task(opened(tmp_path))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        (store,) = await asyncio.gather(task, return_exceptions=True)
        if not isinstance(store, BaseException):
            await store.close()
    store = await opened(tmp_path)
    await store.close()


async def test_all_who_wait_for_a_batch_hear_that_it_failed_each_with_an_error_of_their_own() -> None:
    async def commit(rows: list[bytes]) -> None:
        raise UnavailableError(f"{len(rows)} rows lost", hint="look at the disk")

    committer = Committer(commit)
    errors = await asyncio.gather(*(committer.add(b"row") for _ in range(5)), return_exceptions=True)
    assert [str(error) for error in errors] == ["a watermark is not durable: 5 rows lost"] * 5
    assert len({id(error) for error in errors}) == 5
    assert {error.hint for error in errors if isinstance(error, UnavailableError)} == {"look at the disk"}


async def test_batches_follow_each_other_in_the_order_of_their_rows_and_never_two_at_once() -> None:
    seen: list[bytes] = []
    busy = 0

    async def commit(rows: list[bytes]) -> None:
        nonlocal busy
        busy += 1
        assert busy == 1
        await asyncio.sleep(0)
        seen.extend(rows)
        busy -= 1

    committer = Committer(commit)
    tasks = []
    for number in range(50):
        tasks.append(asyncio.create_task(committer.add(bytes([number]))))
        if number % 7 == 0:
            await asyncio.sleep(0)
    await committer.drain()
    await asyncio.gather(*tasks)
    assert seen == [bytes([number]) for number in range(50)]
    assert committer.idle


async def test_marks_that_cannot_be_are_refused_before_they_are_remembered(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    for impossible in (Mark(-1, 0, bytes(32)), Mark(2**31, 0, bytes(32)), Mark(5, 0, b"short")):
        with pytest.raises(MalformedError, match=r"hash of a mark|is not from 0"):
            await store.advance(CHAIN, TZ1, "block", impossible)
    await store.advance(CHAIN, TZ1, "block", mark(1))
    await store.close()
