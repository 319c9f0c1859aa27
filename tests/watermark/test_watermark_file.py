"""The mark files: Signatory's bytes, durable before anything is signed, held by one process."""

import asyncio
import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import ConfigError, MalformedError, UnavailableError, WatermarkError
from signatory.watermark import marks
from signatory.watermark.file import FileStore
from signatory.watermark.memory import MemoryStore
from signatory.watermark.rules import Mark

CHAIN = "NetXdQprcVkpaWU"
OTHER_CHAIN = "NetXm8tYqnMWky1"
TZ1 = "tz1WGcYos3hL7GXYXjKrMnSFdkT7FyXnFBvf"
SAMPLE = b"""{
    "tz1WGcYos3hL7GXYXjKrMnSFdkT7FyXnFBvf": {
        "block": {
            "level": 2,
            "round": 0,
            "hash": "vh2THNfr1pU3TjJyJkw7BKq19suqMX1W9PXRVAgpueELhGTAuhSx"
        }
    }
}"""


def mark(level: int, round_: int = 0, digit: int = 1) -> Mark:
    return Mark(level, round_, bytes([digit]) * 32)


async def opened(base: Path) -> FileStore:
    store = FileStore(base)
    await store.open()
    return store


def written(base: Path, chain: str = CHAIN) -> Path:
    return base / "watermark_v2" / f"{chain}.json"


def test_the_sample_of_the_reference_comes_back_byte_for_byte() -> None:
    assert marks.encode(marks.decode(SAMPLE)) == SAMPLE


async def test_a_file_has_the_layout_names_and_modes_of_the_reference(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.advance(CHAIN, "tz3b", "preattestation", Mark(7, 1, None))
    await store.advance(CHAIN, "tz1a", "preattestation", mark(5, 2))
    await store.advance(CHAIN, "tz1a", "block", mark(5))
    text = written(tmp_path).read_text()
    assert text.startswith(
        '{\n    "tz1a": {\n        "block": {\n            "level": 5,\n            "round": 0,\n'
    )
    assert '"hash": null' in text
    assert not text.endswith("\n")
    assert list(json.loads(text)) == ["tz1a", "tz3b"]
    assert stat.S_IMODE(written(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(written(tmp_path).parent.stat().st_mode) & 0o027 == 0
    assert [path.name for path in written(tmp_path).parent.iterdir()] == [f"{CHAIN}.json"]
    await store.close()


async def test_marks_survive_a_restart_and_go_only_up(tmp_path: Path) -> None:
    written(tmp_path).parent.mkdir()
    written(tmp_path).write_bytes(SAMPLE)
    store = await opened(tmp_path)
    with pytest.raises(WatermarkError):
        await store.advance(CHAIN, TZ1, "block", mark(2))
    await store.advance(CHAIN, TZ1, "block", mark(2, 1))
    await store.close()
    store = await opened(tmp_path)
    with pytest.raises(WatermarkError):
        await store.advance(CHAIN, TZ1, "block", mark(2, 1, digit=2))
    await store.advance(CHAIN, TZ1, "block", mark(2, 1))  # the same bytes again
    await store.advance(OTHER_CHAIN, TZ1, "block", mark(1))
    await store.advance(CHAIN, TZ1, "attestation", mark(1))
    await store.close()


@pytest.mark.parametrize("make", [FileStore, lambda _: MemoryStore()])
@pytest.mark.parametrize(
    ("first", "second"),
    [("attestation", "attestation_with_dal"), ("attestation_with_dal", "attestation")],
)
async def test_both_forms_of_an_attestation_bind_each_other(
    tmp_path: Path, make: type, first: str, second: str
) -> None:
    store = make(tmp_path)
    await store.open()
    await store.advance(CHAIN, TZ1, first, mark(9, 1))
    with pytest.raises(WatermarkError):
        await store.advance(CHAIN, TZ1, second, mark(9, 1, digit=2))
    await store.advance(CHAIN, TZ1, second, mark(9, 2))
    with pytest.raises(WatermarkError):
        await store.advance(CHAIN, TZ1, first, mark(9, 1))
    await store.close()


async def test_marks_under_the_old_names_still_protect(tmp_path: Path) -> None:
    written(tmp_path).parent.mkdir()
    written(tmp_path).write_text(
        json.dumps({TZ1: {"endorsement": {"level": 5}, "preendorsement": {"level": 5}}})
    )
    store = await opened(tmp_path)
    for kind in ("attestation", "attestation_with_dal", "preattestation"):
        with pytest.raises(WatermarkError):
            await store.advance(CHAIN, TZ1, kind, mark(5))
        await store.advance(CHAIN, TZ1, kind, mark(6, {"attestation_with_dal": 1}.get(kind, 0)))
    assert json.loads(written(tmp_path).read_text())[TZ1]["endorsement"] == {
        "level": 5,
        "round": 0,
        "hash": None,
    }
    await store.close()


@pytest.mark.parametrize("name", ["README", "x.json", f"{CHAIN}.json.bak", "watermark123456", ".hidden"])
async def test_an_unknown_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    written(tmp_path).parent.mkdir()
    (written(tmp_path).parent / name).touch()
    with pytest.raises(ConfigError, match=f"{name} is not a watermark file"):
        await opened(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SAMPLE[:-40],
        b"[]",
        b'{"a":1}',
        b'{"a":{"block":{"level":"1"}}}',
        b'{"a":{"block":{"level":1.5}}}',
        b'{"a":{"block":{"level":true}}}',
        b'{"a":{"block":{"level":-1}}}',
        b'{"a":{"block":{"level":2147483648}}}',
        b'{"a":{"block":{"round":1}}}',
        b'{"a":{"block":{"level":1,"hash":5}}}',
        b'{"a":{"block":{"level":1,"hash":"vh2THNfr"}}}',
        b'{"a":{"block":{"level":1,"hash":"tz1WGcYos3hL7GXYXjKrMnSFdkT7FyXnFBvf"}}}',
        b'{"a":{"block":{"level":1,"extra":2}}}',
        b'{"a":{"block":{"level":9},"block":{"level":1}}}',
        b"\xff",
        b"[" * 100_000,
    ],
)
async def test_a_torn_or_odd_file_stops_the_start_and_is_named(tmp_path: Path, data: bytes) -> None:
    written(tmp_path).parent.mkdir()
    written(tmp_path).write_bytes(data)
    with pytest.raises(ConfigError, match=f"{CHAIN}.json cannot be read") as caught:
        await opened(tmp_path)
    assert caught.value.hint
    assert written(tmp_path).read_bytes() == data


@given(
    st.binary(max_size=200)
    | st.sampled_from(range(len(SAMPLE))).map(lambda cut: SAMPLE[:cut] + SAMPLE[cut + 1 :])
)
def test_any_bytes_are_marks_or_malformed(data: bytes) -> None:
    try:
        chain = marks.decode(data)
    except MalformedError:
        return
    assert marks.decode(marks.encode(chain)) == chain


async def test_a_second_store_on_the_folder_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    second = FileStore(tmp_path)
    with pytest.raises(UnavailableError, match="another process holds"):
        await second.open()
    await first.close()
    await second.open()
    await second.close()
    await second.close()
    with pytest.raises(UnavailableError):
        await second.advance(CHAIN, TZ1, "block", mark(1))


async def test_another_process_sees_the_lock(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    script = (
        "import fcntl, os, sys\n"
        "try: fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError: print('held')\n"
    )
    command = [sys.executable, "-I", "-c", script, str(written(tmp_path).parent)]
    result = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert result.stdout == "held\n"
    await store.close()
    descriptor = os.open(written(tmp_path).parent, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


async def test_what_a_crash_left_of_our_own_write_is_cleared(tmp_path: Path) -> None:
    written(tmp_path).parent.mkdir()
    remains = written(tmp_path).parent / f".{CHAIN}.json.0123456789ab"
    remains.write_bytes(b'{"torn')
    store = await opened(tmp_path)
    assert not remains.exists()
    await store.close()


async def test_a_disk_that_fails_is_unavailable_never_a_double_signing_and_moves_no_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(tmp_path)
    await store.advance(CHAIN, TZ1, "block", mark(1))
    before = written(tmp_path).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UnavailableError, match="No space left on device"):
            await store.advance(CHAIN, TZ1, "block", mark(2))
    assert written(tmp_path).read_bytes() == before
    assert [path.name for path in written(tmp_path).parent.iterdir()] == [f"{CHAIN}.json"]
    await store.advance(CHAIN, TZ1, "block", mark(2, digit=2))
    await store.close()


async def test_a_mark_is_synced_and_renamed_before_advance_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(tmp_path)
    steps: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_sync(descriptor)

    def replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    await store.advance(CHAIN, TZ1, "block", mark(1))
    assert steps == ["file", "rename", "folder"]
    await store.close()


async def test_a_caller_that_goes_away_leaves_whole_files_and_marks_in_order(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    for level in range(1, 20):
        task = asyncio.create_task(store.advance(CHAIN, TZ1, "block", mark(level)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await store.advance(CHAIN, TZ1, "block", mark(50))
    await store.close()
    assert marks.decode(written(tmp_path).read_bytes())[TZ1]["block"] == mark(50)


async def test_ten_conflicting_marks_at_once_let_exactly_one_through(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    results = await asyncio.gather(
        *(store.advance(CHAIN, TZ1, "block", mark(4, digit=row)) for row in range(10)), return_exceptions=True
    )
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, WatermarkError) for result in results) == 9
    await store.close()


async def test_every_read_and_write_is_reported(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []
    for _ in range(2):
        store = FileStore(tmp_path)
        store.on_io = lambda operation, _, error_type: seen.append((operation, error_type))
        await store.open()
        await store.advance(CHAIN, TZ1, "block", mark(len(seen) + 1))
        await store.close()
    assert seen == [("create", ""), ("read", ""), ("write", "")]


@pytest.mark.parametrize("name", ["watermark_v1", "watermark"])
async def test_marks_of_an_older_signatory_are_never_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "NetXdQprcVkpaWU.json").write_text("{}")

    with pytest.raises(ConfigError, match="older Signatory"):
        await FileStore(tmp_path).open()
    assert not (tmp_path / "watermark_v2").exists()
