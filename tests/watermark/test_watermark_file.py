"""The mark files: Signatory's bytes, durable before anything is signed, held by one process."""

import asyncio
import errno
import fcntl
import json
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from faulty_disk import FaultyDisk
from hypothesis import given
from hypothesis import strategies as st
from mark_samples import (
    CHAIN,
    OTHER_CHAIN,
    SAMPLE,
    TZ1,
    TZ2,
    ahead,
    journal_of,
    mark,
    opened,
    put_v2,
    written,
)

from signatory.errors import ConfigError, MalformedError, UnavailableError, WatermarkError
from signatory.watermark import marks
from signatory.watermark.file import FileStore
from signatory.watermark.memory import MemoryStore
from signatory.watermark.rules import Mark


def untouched(base: Path) -> bool:
    return not list(base.iterdir())


def test_the_sample_of_the_reference_comes_back_byte_for_byte() -> None:
    assert marks.encode(marks.decode(SAMPLE)) == SAMPLE


async def test_a_file_has_the_layout_names_and_modes_of_the_reference(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.advance(CHAIN, "tz3b", "preattestation", Mark(7, 1, None))
    await store.advance(CHAIN, "tz1a", "preattestation", mark(5, 2))
    await store.advance(CHAIN, "tz1a", "block", mark(5))
    await store.close()
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
    assert stat.S_IMODE(journal_of(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(journal_of(tmp_path).parent.stat().st_mode) & 0o027 == 0


async def test_marks_survive_a_restart_and_go_only_up(tmp_path: Path) -> None:
    put_v2(tmp_path)
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
    await store.close()
    assert json.loads(written(tmp_path).read_text())[TZ1]["endorsement"] == {
        "level": 5,
        "round": 0,
        "hash": None,
    }


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
    journal_of(tmp_path).parent.mkdir()
    (tmp_path / ".watermark_v2.0123456789ab").mkdir()
    remains = [
        written(tmp_path).parent / f".{CHAIN}.json.0123456789ab",
        written(tmp_path).parent / ".JOURNAL-AHEAD.json.0123456789ab",
        journal_of(tmp_path).parent / ".marks.journal.0123456789ab",
        tmp_path / ".watermark_v2.0123456789ab" / f"{CHAIN}.json",
    ]
    for path in remains:
        path.write_bytes(b'{"torn')
    assert (
        await FileStore(tmp_path).inspect() == {}
    )  # looking changes nothing: another process may be at work
    assert all(path.exists() for path in remains)
    store = await opened(tmp_path)
    assert not any(path.exists() for path in (*remains, tmp_path / ".watermark_v2.0123456789ab"))
    await store.close()


async def test_a_mark_is_synced_before_advance_returns_and_the_warning_stands_before_the_first(
    tmp_path: Path,
) -> None:
    disk = FaultyDisk(tmp_path)
    store = await opened(tmp_path, disk=disk)
    assert not ahead(tmp_path).exists()
    disk.steps.clear()
    await store.advance(CHAIN, TZ1, "block", mark(1))
    assert ahead(tmp_path).exists()
    assert disk.steps == ["create", "write", "sync", "replace", "sync_folder", "write", "sync"]
    disk.steps.clear()
    await store.advance(CHAIN, TZ1, "block", mark(2))
    assert disk.steps == ["write", "sync"]
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
    # A journal, a mark, its file at the stop, a last journal; then both are read, the file again at the stop.
    first = [("create", ""), ("write", ""), ("create", ""), ("create", "")]
    second = [("read", ""), ("read", ""), ("create", ""), ("write", "")]
    stopped = [("read", ""), ("write", ""), ("create", "")]
    assert seen == first + second + stopped


async def test_signatorys_folder_comes_back_byte_for_byte_after_a_run_that_signed_nothing(
    tmp_path: Path,
) -> None:
    put_v2(tmp_path)
    store = await opened(tmp_path)
    await store.close()
    assert written(tmp_path).read_bytes() == SAMPLE
    assert [path.name for path in written(tmp_path).parent.iterdir()] == [f"{CHAIN}.json"]


async def test_after_a_crash_the_warning_stands_and_after_a_clean_stop_it_is_gone(tmp_path: Path) -> None:
    put_v2(tmp_path)
    store = await opened(tmp_path)
    await store.advance(CHAIN, TZ1, "block", mark(7))
    assert written(tmp_path).read_bytes() == SAMPLE
    assert set(json.loads(ahead(tmp_path).read_bytes())) == {"what", "why", "remedy"}
    store._folders.release()  # as a crash does

    store = await opened(tmp_path)
    assert json.loads(written(tmp_path).read_bytes())[TZ1]["block"]["level"] == 7
    with pytest.raises(WatermarkError):
        await store.advance(CHAIN, TZ1, "block", mark(7, digit=2))
    await store.close()
    assert not ahead(tmp_path).exists()


async def test_a_journal_that_grew_is_begun_anew_and_the_files_follow(tmp_path: Path) -> None:
    store = await opened(tmp_path, limit=1000)
    sizes = []
    for level in range(60):
        await store.advance(CHAIN, TZ1, "block", mark(level))
        sizes.append(journal_of(tmp_path).stat().st_size)
    assert max(sizes) < 1500
    assert store._rolled is not None
    await store._rolled
    assert json.loads(written(tmp_path).read_bytes())[TZ1]["block"]["level"] > 30
    assert ahead(tmp_path).exists()
    assert (await store.inspect())[CHAIN][TZ1]["block"] == mark(59)
    await store.close()


@pytest.mark.parametrize("behind", ["journal", "files"])
async def test_the_higher_of_journal_and_files_counts_mark_by_mark(tmp_path: Path, behind: str) -> None:
    put_v2(tmp_path)
    store = await opened(tmp_path)
    await store.advance(CHAIN, TZ1, "block", mark(5))
    await store.advance(CHAIN, TZ2, "attestation", mark(5))
    await store.close()
    rows = json.loads(written(tmp_path).read_bytes())
    rows[TZ1]["block"]["level"] = 9 if behind == "journal" else 3
    written(tmp_path).write_text(json.dumps(rows))
    store = await opened(tmp_path)
    highest = await store.current(CHAIN, TZ1, "block")
    assert highest is not None
    assert highest.level == (9 if behind == "journal" else 5)
    assert await store.current(CHAIN, TZ2, "attestation_with_dal") == mark(5)
    await store.close()
    assert json.loads(written(tmp_path).read_bytes())[TZ1]["block"]["level"] == highest.level


async def test_two_hashes_at_one_place_let_neither_through(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.advance(CHAIN, TZ1, "block", mark(2))
    await store.close()
    written(tmp_path).write_bytes(SAMPLE)
    store = await opened(tmp_path)
    for proposed in (mark(2), marks.decode(SAMPLE)[TZ1]["block"]):
        with pytest.raises(WatermarkError):
            await store.advance(CHAIN, TZ1, "block", proposed)
    await store.close()


async def test_files_that_are_gone_come_back_from_the_journal(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.advance(CHAIN, TZ1, "block", mark(5))
    await store.close()
    written(tmp_path).unlink()
    written(tmp_path).parent.rmdir()
    store = await opened(tmp_path)
    assert await store.current(CHAIN, TZ1, "block") == mark(5)
    assert json.loads(written(tmp_path).read_bytes())[TZ1]["block"]["level"] == 5
    await store.close()


async def test_a_torn_last_batch_is_dropped_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await opened(tmp_path)
    await store.advance(CHAIN, TZ1, "block", mark(5))
    store._folders.release()
    with journal_of(tmp_path).open("ab") as file:
        file.write(b"\xf5MK\n\0\0\0")
    store = await opened(tmp_path)
    assert await store.current(CHAIN, TZ1, "block") == mark(5)
    assert "7 bytes of a batch that never was durable" in caplog.text
    await store.close()


async def test_a_damaged_journal_stops_the_start_and_is_named_with_the_place(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    for level in (1, 2, 3):
        await store.advance(CHAIN, TZ1, "block", mark(level))
    store._folders.release()
    data = bytearray(journal_of(tmp_path).read_bytes())
    data[-200] ^= 1
    journal_of(tmp_path).write_bytes(data)
    with pytest.raises(
        ConfigError, match=r"marks\.journal cannot be read: it is damaged at byte \d+"
    ) as caught:
        await opened(tmp_path)
    assert "--restored" in str(caught.value.hint)
    assert journal_of(tmp_path).read_bytes() == data
    with pytest.raises(ConfigError):
        await FileStore(tmp_path).inspect()


async def test_marks_can_be_seen_while_another_store_holds_them(tmp_path: Path) -> None:
    assert await FileStore(tmp_path).inspect() == {}
    assert untouched(tmp_path)
    put_v2(tmp_path)
    store = await opened(tmp_path)
    await store.advance(CHAIN, TZ2, "block", mark(5))
    assert await FileStore(tmp_path).inspect() == {
        CHAIN: {TZ1: {"block": marks.decode(SAMPLE)[TZ1]["block"]}, TZ2: {"block": mark(5)}}
    }
    await store.close()


async def test_raised_marks_are_durable_at_once(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.advance(CHAIN, TZ1, "block", mark(5))
    assert await store.lift({CHAIN: {TZ1: {"block": Mark(9, 0), "attestation": Mark(4, 0)}}}) == 2
    assert store._rolled
    await store._rolled
    store._folders.release()
    store = await opened(tmp_path)
    assert await store.current(CHAIN, TZ1, "block") == Mark(9, 0)
    assert await store.lift({CHAIN: {TZ1: {"block": Mark(8, 0)}}}) == 0
    await store.close()


async def test_what_cannot_be_raised_changes_nothing(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    with pytest.raises(MalformedError):
        await store.lift({CHAIN: {TZ1: {"block": Mark(-1, 0)}}})
    assert await store.current(CHAIN, TZ1, "block") is None
    await store.close()


async def test_an_unopened_store_lets_nothing_through(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    with pytest.raises(UnavailableError, match="not open"):
        await store.advance(CHAIN, TZ1, "block", mark(1))
    with pytest.raises(UnavailableError, match="not open"):
        await store.current(CHAIN, TZ1, "block")
    await store.close()
    assert untouched(tmp_path)


async def test_a_base_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=r"Not a directory|File exists") as caught:
        await opened(tmp_path / "file" / "base")
    assert caught.value.hint


async def test_without_an_anchor_the_start_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store = await opened(tmp_path)
    assert caplog.text.count("No anchor") == 1
    await store.close()


async def test_the_warning_stands_before_a_raised_mark_is_in_the_journal_alone(tmp_path: Path) -> None:
    disk = FaultyDisk(tmp_path)
    store = await opened(tmp_path, disk=disk)
    disk.steps.clear()
    disk._at, disk._error = 1, errno.EIO
    with pytest.raises(UnavailableError):
        await store.lift({CHAIN: {TZ1: {"block": Mark(9, 0)}}})
    assert disk.steps == ["create", "unlink"]
    assert not ahead(tmp_path).exists()
    assert (await FileStore(tmp_path).inspect()) == {}
    await store.advance(CHAIN, TZ1, "block", mark(10))
    assert ahead(tmp_path).exists()
    await store.close()
