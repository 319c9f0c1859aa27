"""An anchor in a second place notices a mark folder that was put back from an older copy."""

import asyncio
import logging
import shutil
from pathlib import Path

import pytest
from mark_samples import CHAIN, TZ1, TZ2, ahead, journal_of, mark, opened

from signatory.errors import ConfigError, UnavailableError, WatermarkError
from signatory.watermark import journal
from signatory.watermark.anchor import Epoch, FileAnchor
from signatory.watermark.file import FileStore
from signatory.watermark.rules import Mark


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


@pytest.fixture
def anchor(tmp_path: Path) -> FileAnchor:
    (tmp_path / "other disk").mkdir()
    return FileAnchor(tmp_path / "other disk" / "anchor.json")


def epoch(base: Path) -> Epoch:
    return journal.read(journal_of(base).read_bytes()).epoch


async def lived(base: Path, anchor: FileAnchor, level: int) -> None:
    store = await opened(base, anchor=anchor)
    await store.advance(CHAIN, TZ1, "block", mark(level))
    await store.close()


async def test_the_epoch_rises_at_each_start_and_stop_and_the_anchor_follows(
    base: Path, anchor: FileAnchor
) -> None:
    seen = []
    for level in range(3):
        store = await opened(base, anchor=anchor)
        seen.append(epoch(base))
        assert await anchor.read() == seen[-1]
        await store.advance(CHAIN, TZ1, "block", mark(level))
        await store.close()
        seen.append(epoch(base))
        assert await anchor.read() == seen[-1]
    assert [one.number for one in seen] == [1, 2, 3, 4, 5, 6]
    assert len({one.store for one in seen}) == 1


async def test_an_anchor_that_is_empty_for_a_folder_in_use_is_said(
    base: Path, anchor: FileAnchor, caplog: pytest.LogCaptureFixture
) -> None:
    await lived(base, anchor, 1)
    assert "is empty" not in caplog.text
    await asyncio.to_thread(Path(anchor.place).unlink)
    await lived(base, anchor, 2)
    assert f"The anchor {anchor.place} is empty" in caplog.text
    assert await anchor.read() == epoch(base)


async def test_the_epoch_rises_with_each_new_journal(base: Path, anchor: FileAnchor) -> None:
    store = await opened(base, anchor=anchor, limit=300)
    for level in range(10):
        await store.advance(CHAIN, TZ1, "block", mark(level))
        if store._rolled:
            await store._rolled
    assert epoch(base).number > 2
    assert await anchor.read() == epoch(base)
    await store.close()


@pytest.mark.parametrize("taken", ["while it ran", "while it was stopped"])
async def test_a_folder_put_back_is_refused_until_its_marks_are_raised(
    tmp_path: Path, base: Path, anchor: FileAnchor, taken: str
) -> None:
    if taken == "while it ran":
        store = await opened(base, anchor=anchor)
        await store.advance(CHAIN, TZ1, "block", mark(1))
        shutil.copytree(base, tmp_path / "copy")
        await store.close()
    else:
        await lived(base, anchor, 1)
        shutil.copytree(base, tmp_path / "copy")
    await lived(base, anchor, 50)
    shutil.rmtree(base)
    shutil.copytree(tmp_path / "copy", base)

    for _ in range(2):
        with pytest.raises(ConfigError, match="old copy") as caught:
            await opened(base, anchor=anchor)
        assert "watermark raise" in str(caught.value.hint)

    store = await opened(base, anchor=anchor, accept_restored=True)
    with pytest.raises(UnavailableError, match="raised first"):
        await store.advance(CHAIN, TZ1, "block", mark(60))
    await store.close()
    with pytest.raises(ConfigError, match="old copy"):  # looking was not enough
        await opened(base, anchor=anchor)

    store = await opened(base, anchor=anchor, accept_restored=True)
    assert await store.lift({CHAIN: {TZ1: {"block": Mark(70, 0)}}}) == 1
    await store.close()
    store = await opened(base, anchor=anchor)
    with pytest.raises(WatermarkError):
        await store.advance(CHAIN, TZ1, "block", mark(70))
    await store.advance(CHAIN, TZ1, "block", mark(71))
    await store.close()


async def test_a_folder_that_was_wiped_is_refused(base: Path, anchor: FileAnchor) -> None:
    await lived(base, anchor, 50)
    shutil.rmtree(base)
    with pytest.raises(ConfigError, match="wiped"):
        await opened(base, anchor=anchor)
    store = await opened(base, anchor=anchor, accept_restored=True)
    await store.lift({CHAIN: {TZ1: {"block": Mark(70, 0)}}})
    await store.close()
    await lived(base, anchor, 71)


async def test_the_folder_of_another_signer_is_refused(
    tmp_path: Path, base: Path, anchor: FileAnchor
) -> None:
    await lived(base, anchor, 1)
    for level in range(3):
        await lived_without_anchor(tmp_path / "other", level)
    with pytest.raises(ConfigError, match="another mark folder"):
        await opened(tmp_path / "other", anchor=anchor)


async def lived_without_anchor(base: Path, level: int) -> None:
    store = await opened(base)
    await store.advance(CHAIN, TZ1, "block", mark(level))
    await store.close()


async def test_an_anchor_that_was_added_later_takes_the_folder_as_it_is(
    base: Path, anchor: FileAnchor
) -> None:
    await lived_without_anchor(base, 5)
    await lived(base, anchor, 6)
    assert await anchor.read() == epoch(base)


async def test_an_anchor_that_does_not_answer_stops_the_start(base: Path, tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "not mounted" / "anchor.json")
    with pytest.raises(UnavailableError, match="not there"):
        await opened(base, anchor=anchor)
    (tmp_path / "not mounted").mkdir()
    await lived(base, anchor, 1)


async def test_an_anchor_that_goes_away_later_stops_no_signature_and_is_made_up_for(
    base: Path, anchor: FileAnchor, caplog: pytest.LogCaptureFixture
) -> None:
    store = await opened(base, anchor=anchor, limit=300)
    away = Path(anchor.place).parent
    away.rename(away.with_name("away"))
    for level in range(10):
        await store.advance(CHAIN, TZ1, "block", mark(level))
        if store._rolled:
            await store._rolled
    await store.close()
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert any("tried again later" in record.message for record in warned)
    assert not ahead(base).exists()
    away.with_name("away").rename(away)
    await lived(base, anchor, 20)
    assert await anchor.read() == epoch(base)


async def test_an_anchor_that_another_copy_moved_on_stops_the_signing(
    tmp_path: Path, base: Path, anchor: FileAnchor
) -> None:
    store = await opened(base, anchor=anchor, limit=0)
    shutil.copytree(base, tmp_path / "copy")
    twin = await opened(tmp_path / "copy", anchor=anchor)
    await twin.close()
    await store.advance(CHAIN, TZ2, "block", mark(1))
    await store.advance(CHAIN, TZ2, "block", mark(2))  # begins a journal, whose epoch the anchor is above
    assert store._rolled
    await store._rolled
    with pytest.raises(UnavailableError, match="old copy"):
        await store.advance(CHAIN, TZ2, "block", mark(3))
    await store.close()
    with pytest.raises(ConfigError, match="old copy"):
        await opened(base, anchor=anchor)


async def test_a_journal_that_is_gone_while_the_files_are_behind_can_be_mended(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.advance(CHAIN, TZ1, "block", mark(5))
    store._folders.release()
    journal_of(tmp_path).unlink()
    for load in (opened(tmp_path), FileStore(tmp_path).inspect()):
        with pytest.raises(ConfigError, match="newer marks are lost"):
            await load
    assert await FileStore(tmp_path, accept_restored=True).inspect() == {}
    store = await opened(tmp_path, accept_restored=True)
    await store.lift({CHAIN: {TZ1: {"block": Mark(9, 0)}}})
    await store.close()
    assert not ahead(tmp_path).exists()
    store = await opened(tmp_path)
    assert await store.current(CHAIN, TZ1, "block") == Mark(9, 0)
    await store.close()
