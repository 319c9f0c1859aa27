"""The journal's bytes: what is whole is read, a torn end is dropped, damage before the end is an error."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mark_samples import CHAIN, OTHER_CHAIN, TZ1, TZ2, mark

from signatory.errors import MalformedError
from signatory.watermark import journal
from signatory.watermark.anchor import Epoch
from signatory.watermark.journal import Place
from signatory.watermark.rules import Mark

EPOCH = Epoch("00112233445566778899aabbccddeeff", 7)
START = journal.header(EPOCH)

names = st.text(max_size=20)
numbers = st.integers(0, 2**31 - 1)
some_marks = st.builds(Mark, numbers, numbers, st.none() | st.binary(min_size=32, max_size=32))
tables = st.dictionaries(
    names,
    st.dictionaries(
        names, st.dictionaries(names, some_marks, min_size=1, max_size=2), min_size=1, max_size=2
    ),
    max_size=2,
)


def batch(sequence: int, *rows: tuple[Place, Mark]) -> bytes:
    return journal.frame(START, sequence, [journal.row(*row) for row in rows])


FIRST = journal.snapshot(EPOCH, {CHAIN: {TZ1: {"block": mark(1)}}})
SECOND = batch(1, (Place(CHAIN, TZ1, "block"), mark(2)), (Place(OTHER_CHAIN, TZ2, "attestation"), Mark(5, 1)))
THIRD = batch(2, (Place(CHAIN, TZ1, "block"), mark(3)))
WHOLE = FIRST + SECOND + THIRD


def test_the_layout_is_what_its_description_says() -> None:
    start = b"MARKS\r\n\x01" + (7).to_bytes(8, "big") + b"\x20" + EPOCH.store.encode()
    start += zlib.crc32(start).to_bytes(4, "big")
    body = b"".join(struct.pack(">H", len(text)) + text.encode() for text in (CHAIN, TZ1, "block"))
    body += struct.pack(">IIB", 1, 0, 1) + b"\x01" * 32
    head = b"\xf5MK\n" + struct.pack(">IQ", len(body), 0)
    check = zlib.crc32(start + head + bytes(4) + body)
    assert start + head + check.to_bytes(4, "big") + body == FIRST


def test_later_batches_stand_above_earlier_ones() -> None:
    found = journal.read(WHOLE)
    assert found.epoch == EPOCH
    assert found.dropped == 0
    assert found.marks == {CHAIN: {TZ1: {"block": mark(3)}}, OTHER_CHAIN: {TZ2: {"attestation": Mark(5, 1)}}}


@given(marks=tables)
def test_any_marks_come_back(marks: dict[str, dict[str, dict[str, Mark]]]) -> None:
    assert journal.read(journal.snapshot(EPOCH, marks)).marks == marks


@pytest.mark.parametrize("cut", range(len(FIRST + SECOND), len(WHOLE)))
def test_a_last_batch_cut_anywhere_is_dropped(cut: int) -> None:
    found = journal.read(WHOLE[:cut])
    assert found.marks[CHAIN][TZ1]["block"] == mark(2)
    assert found.dropped == cut - len(FIRST + SECOND)


@pytest.mark.parametrize("position", range(len(FIRST + SECOND), len(WHOLE)))
def test_a_last_batch_with_a_wrong_byte_is_dropped(position: int) -> None:
    torn = bytearray(WHOLE)
    torn[position] ^= 0x40
    assert journal.read(bytes(torn)).marks[CHAIN][TZ1]["block"] == mark(2)


@pytest.mark.parametrize("position", range(len(FIRST + SECOND)))
def test_a_wrong_byte_before_the_last_batch_is_damage(position: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[position] ^= 0x40
    with pytest.raises(MalformedError):
        journal.read(bytes(damaged))


@pytest.mark.parametrize("cut", range(len(FIRST)))
def test_a_file_that_ends_inside_its_first_batch_is_damage(cut: int) -> None:
    with pytest.raises(MalformedError):
        journal.read(FIRST[:cut])


def test_the_place_of_damage_is_named() -> None:
    damaged = bytearray(WHOLE)
    damaged[len(FIRST) + 30] ^= 1
    with pytest.raises(MalformedError, match=f"damaged at byte {len(FIRST)}"):
        journal.read(bytes(damaged))


def test_a_batch_taken_out_of_the_middle_is_noticed() -> None:
    with pytest.raises(MalformedError, match="is number 2, not 1"):
        journal.read(FIRST + THIRD)
    with pytest.raises(MalformedError, match="is number 1, not 2"):
        journal.read(FIRST + SECOND + SECOND)


def test_what_an_older_journal_left_on_the_disk_is_no_batch_of_this_one() -> None:
    older = journal.header(Epoch(EPOCH.store, EPOCH.number - 1))
    stale = journal.frame(older, 2, [journal.row(Place(CHAIN, TZ1, "block"), mark(90))])
    found = journal.read(FIRST + SECOND + stale)
    assert (found.marks[CHAIN][TZ1]["block"], found.dropped) == (mark(2), len(stale))
    assert journal.read(FIRST + SECOND + bytes(20) + stale).dropped == 20 + len(stale)


def test_a_version_of_the_future_is_named() -> None:
    with pytest.raises(MalformedError, match="another version"):
        journal.read(FIRST.replace(b"MARKS\r\n\x01", b"MARKS\r\n\x02", 1))


@pytest.mark.parametrize(
    "body",
    [
        b"\0",
        b"\0\5abc",
        journal.row(Place("a", "b", "c"), mark(1))[:-1],
        journal.row(Place("a", "b", "c"), mark(1)) + b"\0",
        b"\0\1\xff\0\0\0\0" + bytes(9),
        b"\0\0\0\0\0\0" + struct.pack(">IIB", 2**31, 0, 0),
        b"\0\0\0\0\0\0" + struct.pack(">IIB", 0, 2**31, 0),
        b"\0\0\0\0\0\0" + struct.pack(">IIB", 0, 0, 2) + bytes(32),
    ],
)
def test_a_batch_whose_crc_is_right_and_whose_rows_are_not_is_damage(body: bytes) -> None:
    with pytest.raises(MalformedError, match=f"the batch at byte {len(FIRST)}"):
        journal.read(FIRST + journal.frame(START, 1, [body]))


@pytest.mark.parametrize(
    "impossible",
    [Mark(-1, 0), Mark(0, -1), Mark(2**31, 0), Mark(0, 2**31), Mark(0, 0, b""), Mark(0, 0, bytes(31))],
)
def test_a_mark_that_no_journal_can_hold_is_refused(impossible: Mark) -> None:
    with pytest.raises(MalformedError):
        journal.row(Place(CHAIN, TZ1, "block"), impossible)


@pytest.mark.parametrize("text", ["\ud800", "é" * 30_000])
def test_odd_names_come_back(text: str) -> None:
    table = {text: {text: {text: mark(1)}}}
    assert journal.read(journal.snapshot(EPOCH, table)).marks == table


def test_a_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(MalformedError, match="too long"):
        journal.row(Place("a" * 65_536, TZ1, "block"), mark(1))


@given(
    st.binary(max_size=300)
    | st.binary(max_size=100).map(lambda tail: FIRST + tail)
    | st.binary(max_size=100).map(lambda tail: START + tail)
    | st.tuples(st.integers(0, len(WHOLE)), st.binary(min_size=1, max_size=4)).map(
        lambda change: WHOLE[: change[0]] + change[1] + WHOLE[change[0] :]
    )
)
def test_any_bytes_are_a_journal_or_malformed(data: bytes) -> None:
    try:
        found = journal.read(data)
    except MalformedError:
        return
    assert 0 <= found.dropped < len(data)
    assert journal.read(journal.snapshot(found.epoch, found.marks)).marks == found.marks
