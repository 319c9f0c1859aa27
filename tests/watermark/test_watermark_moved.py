"""Folders and files that somebody moves, cuts, removes or edits under a running store."""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
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
    put_older,
    put_v2,
    written,
)

from signatory.errors import ConfigError, SignatoryError, UnavailableError, WatermarkError
from signatory.watermark import journal
from signatory.watermark.file import FileStore
from signatory.watermark.rules import Mark


async def released(store: FileStore, proposed: Mark) -> bool:
    try:
        await store.advance(CHAIN, TZ1, "block", proposed)
    except UnavailableError:
        return False
    return True


def all_files(base: Path) -> dict[str, bytes]:
    return {str(path.relative_to(base)): path.read_bytes() for path in base.rglob("*") if path.is_file()}


def level_in_files(base: Path, chain: str = CHAIN, key: str = TZ1) -> int:
    level: int = json.loads(written(base, chain).read_bytes())[key]["block"]["level"]
    return level


async def test_a_copy_put_in_the_place_of_a_folder_in_use_never_lets_two_stores_release(
    tmp_path: Path,
) -> None:
    base, aside = tmp_path / "base", tmp_path / "aside"
    first = await opened(base)
    assert await released(first, mark(1))
    base.rename(aside)
    shutil.copytree(aside, base)
    second = await opened(base)
    for level in (2, 3):
        assert [await released(first, mark(level, digit=1)) for _ in range(3)] == [False] * 3
        assert await released(second, mark(level, digit=2))
    before = all_files(base)
    await first.close()
    assert all_files(base) == before
    assert ahead(aside).exists()
    await second.close()
    assert level_in_files(base) == 3


async def test_folders_that_are_put_back_are_written_again(tmp_path: Path) -> None:
    base, aside = tmp_path / "base", tmp_path / "aside"
    store = await opened(base)
    assert await released(store, mark(1))
    base.rename(aside)
    with pytest.raises(UnavailableError, match="was moved or replaced") as caught:
        await store.advance(CHAIN, TZ1, "block", mark(2))
    assert "put it back" in str(caught.value.hint)
    base.mkdir()
    assert not await released(store, mark(2))
    assert all_files(base) == {}
    base.rmdir()
    aside.rename(base)
    assert await released(store, mark(2))
    assert journal.read(journal_of(base).read_bytes()).marks[CHAIN][TZ1]["block"] == mark(2)
    await store.close()
    assert level_in_files(base) == 2


def cut(path: Path) -> None:
    os.truncate(path, 0)


def cut_at_a_batch(path: Path) -> None:
    """As if the last batch had never been."""
    os.truncate(path, path.stat().st_size - 90)


def overwritten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize("harm", [cut, cut_at_a_batch, overwritten, Path.unlink])
async def test_a_journal_that_was_cut_or_removed_is_written_anew_before_anything_is_released(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    store = await opened(tmp_path)
    for level in (1, 2):
        assert await released(store, mark(level))
    harm(journal_of(tmp_path))
    with pytest.raises(UnavailableError, match="replaced or changed by something else") as caught:
        await store.advance(CHAIN, TZ1, "block", mark(3))
    assert caught.value.hint
    assert await released(store, mark(3))
    assert journal.read(journal_of(tmp_path).read_bytes()).marks == {CHAIN: {TZ1: {"block": mark(3)}}}
    await store.close()


async def test_files_that_are_removed_while_they_are_in_use_come_back_with_their_warning(
    tmp_path: Path,
) -> None:
    store = await opened(tmp_path)
    assert await released(store, mark(1))
    shutil.rmtree(written(tmp_path).parent)
    assert not await released(store, mark(2))
    assert await released(store, mark(2))
    assert ahead(tmp_path).exists()
    assert level_in_files(tmp_path) == 2
    with pytest.raises(UnavailableError, match=r"another process holds .*watermark_journal"):
        await opened(tmp_path)
    await store.close()
    assert not ahead(tmp_path).exists()
    assert level_in_files(tmp_path) == 2


async def test_files_that_are_gone_at_the_stop_are_made_again(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    assert await released(store, mark(1))
    shutil.rmtree(written(tmp_path).parent)
    await store.close()
    assert level_in_files(tmp_path) == 1
    assert not ahead(tmp_path).exists()


async def test_files_that_were_replaced_by_others_stop_the_signing(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    assert await released(store, mark(1))
    folder = written(tmp_path).parent
    folder.rename(tmp_path / "aside")
    put_v2(tmp_path)
    for _ in range(2):
        assert not await released(store, mark(2))
    await store.close()
    assert written(tmp_path).read_bytes() == SAMPLE


async def test_the_warning_stands_before_the_next_release_though_it_was_removed_by_hand(
    tmp_path: Path,
) -> None:
    store = await opened(tmp_path)
    assert await released(store, mark(1))
    ahead(tmp_path).unlink()
    assert await released(store, mark(2))
    assert ahead(tmp_path).exists()
    ahead(tmp_path).unlink()
    await store.close()
    assert level_in_files(tmp_path) == 2


async def test_files_that_were_edited_meanwhile_say_after_the_stop_what_was_signed(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.lift({CHAIN: {TZ1: {"block": mark(5)}, TZ2: {"block": mark(5)}}})
    await store.close()
    store = await opened(tmp_path)
    edited = json.loads(written(tmp_path).read_bytes())
    edited[TZ1]["block"]["level"], edited[TZ2]["block"]["level"] = 3, 9
    written(tmp_path).write_text(json.dumps(edited))
    await store.advance(OTHER_CHAIN, TZ1, "block", mark(1))
    await store.close()
    assert not ahead(tmp_path).exists()
    assert level_in_files(tmp_path) == 5
    assert level_in_files(tmp_path, key=TZ2) == 9
    store = await opened(tmp_path)
    with pytest.raises(WatermarkError):
        await store.advance(CHAIN, TZ2, "block", mark(9, digit=7))
    await store.close()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("notes.txt", b""),
        (f"{CHAIN}.json", b"{"),
        (f"{CHAIN}.json", SAMPLE.replace(TZ1.encode(), f"{TZ1[:-1]}g".encode())),
    ],
)
async def test_the_warning_stays_where_the_files_cannot_be_trusted_at_the_stop(
    tmp_path: Path, name: str, data: bytes
) -> None:
    store = await opened(tmp_path)
    assert await released(store, mark(1))
    (written(tmp_path).parent / name).write_bytes(data)
    await store.close()
    assert ahead(tmp_path).exists()
    with pytest.raises(ConfigError, match=name.removesuffix(".json")):
        await opened(tmp_path)


def mistyped_chain(base: Path) -> str:
    put_v2(base)
    name = f"{CHAIN[:-1]}u"
    written(base).rename(written(base, name))
    return name


def mistyped_old_chain(base: Path) -> str:
    put_older(base)
    name = f"{CHAIN[:-1]}u"
    (base / "watermark" / f"{CHAIN}.json").rename(base / "watermark" / f"{name}.json")
    return name


def mistyped_key(base: Path) -> str:
    name = f"{TZ1[:-1]}g"
    put_v2(base, SAMPLE.replace(TZ1.encode(), name.encode()))
    return name


def long_key(base: Path) -> str:
    put_v2(base, SAMPLE.replace(TZ1.encode(), b"x" * 70_000))
    return "xxx"


def mistyped_kind(base: Path) -> str:
    put_v2(base, SAMPLE.replace(b'"block"', b'"Block"'))
    return "Block"


def mistyped_old_key(base: Path) -> str:
    put_older(base)
    path, name = base / "watermark" / f"{CHAIN}.json", f"{TZ1[:-1]}g"
    path.write_text(path.read_text().replace(TZ1, name))
    return name


@pytest.mark.parametrize(
    "prepare", [mistyped_chain, mistyped_old_chain, mistyped_key, long_key, mistyped_kind, mistyped_old_key]
)
async def test_marks_under_a_mistyped_name_protect_nothing_and_stop_the_start(
    tmp_path: Path, prepare: Callable[[Path], str]
) -> None:
    name = prepare(tmp_path)
    with pytest.raises(ConfigError, match=name) as caught:
        await opened(tmp_path)
    assert caught.value.hint
    assert len(str(caught.value)) < 500
    assert not journal_of(tmp_path).exists()


async def test_a_disk_without_locks_is_not_taken_for_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(SignatoryError, match=r"cannot lock .*watermark_journal: No locks available"):
        await opened(tmp_path)
