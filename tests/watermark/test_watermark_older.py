"""Folders of older versions of Signatory: what they refused stays refused."""

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mark_samples import CHAIN, HASH, OTHER_CHAIN, TZ1, TZ2, ahead, mark, opened, put_older, put_v2, written

from signatory.errors import ConfigError, MalformedError, WatermarkError
from signatory.tezos import base58
from signatory.watermark import marks, older
from signatory.watermark.rules import Mark

LAST = 2**31 - 1
DIGEST = bytes(base58.decode(HASH)[1])
KINDS = ("block", "preattestation", "attestation")
"""In the order of `watermark_v1`."""


def v1(**fields: object) -> bytes:
    return json.dumps({TZ1: fields}).encode()


def put(base: Path, folder: str, rows: object, chain: str = CHAIN) -> None:
    (base / folder).mkdir(exist_ok=True)
    (base / folder / f"{chain}.json").write_text(json.dumps(rows))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (0, {"block": Mark(9, 3, DIGEST), "preattestation": Mark(9, 2), "attestation": Mark(9, 2)}),
        (1, {"block": Mark(9, 3), "preattestation": Mark(9, 3, DIGEST), "attestation": Mark(9, 2)}),
        (2, {"block": Mark(9, 3), "preattestation": Mark(9, 3), "attestation": Mark(9, 3, DIGEST)}),
        (7, {"block": Mark(9, 3), "preattestation": Mark(9, 3), "attestation": Mark(9, 3, DIGEST)}),
    ],
)
def test_one_mark_for_all_kinds_becomes_one_for_each(order: int, expected: dict[str, Mark]) -> None:
    assert older.from_v1(v1(level=9, round=3, order=order, hash=HASH)) == {TZ1: expected}


def test_below_round_0_is_the_last_round_of_the_level_before() -> None:
    assert older.from_v1(v1(level=9, order=0, hash=None))[TZ1]["attestation"] == Mark(8, LAST)
    assert older.from_v1(v1(level=9, round=None, order=0))[TZ1]["attestation"] == Mark(8, LAST)
    assert older.from_v1(v1(level=0, order=1)) == {TZ1: {"block": Mark(0, 0), "preattestation": Mark(0, 0)}}


@given(
    level=st.integers(0, 3) | st.just(LAST),
    round_=st.integers(0, 3) | st.just(LAST),
    order=st.integers(0, 2),
    proposed=st.tuples(st.integers(0, 4), st.integers(0, 4) | st.just(LAST), st.integers(0, 2)),
)
def test_what_one_order_of_all_kinds_refused_is_refused_and_nothing_else(
    level: int, round_: int, order: int, proposed: tuple[int, int, int]
) -> None:
    chain = older.from_v1(v1(level=level, round=round_, order=order, hash=HASH))
    new, kind = Mark(proposed[0], proposed[1], bytes(32)), KINDS[proposed[2]]
    try:
        marks.advance(chain, TZ1, kind, new)
        passed = True
    except WatermarkError:
        passed = False
    assert passed == (proposed > (level, round_, order))


def test_the_oldest_form_has_a_mark_for_each_kind_under_old_names() -> None:
    data = {
        "endorsement": {TZ1: {"level": 5, "round": 1, "hash": HASH}},
        "preendorsement": {TZ1: {"level": 5, "round": 2, "hash": None}, TZ2: {"level": 1}},
        "block": {TZ1: {"level": 6, "round": 0, "hash": HASH}},
    }
    assert older.from_v0(json.dumps(data).encode()) == {
        TZ1: {"attestation": Mark(5, 1, DIGEST), "preattestation": Mark(5, 2), "block": Mark(6, 0, DIGEST)},
        TZ2: {"preattestation": Mark(1, 0)},
    }


async def test_both_older_folders_are_migrated_and_the_higher_mark_stands(tmp_path: Path) -> None:
    put_older(tmp_path)
    put(tmp_path, "watermark", {"endorsement": {TZ1: {"level": 9, "round": 0, "hash": HASH}}}, OTHER_CHAIN)
    store = await opened(tmp_path)
    assert await store.inspect() == {
        CHAIN: {
            TZ1: {
                "block": Mark(7, 0, DIGEST),
                "preattestation": Mark(6, 1),
                "attestation": Mark(6, 1, DIGEST),
            }
        },
        OTHER_CHAIN: {TZ1: {"attestation": Mark(9, 0, DIGEST)}},
    }
    for kind in ("attestation", "attestation_with_dal", "preattestation"):
        with pytest.raises(WatermarkError):
            await store.advance(CHAIN, TZ1, kind, mark(6, 1))
    await store.close()
    assert set(json.loads(written(tmp_path).read_bytes())[TZ1]) == set(KINDS)
    assert (tmp_path / "watermark_v1" / f"{CHAIN}.json").exists()


async def test_migrated_marks_are_in_signatorys_folder_before_anything_is_signed(tmp_path: Path) -> None:
    put_older(tmp_path)
    store = await opened(tmp_path)
    assert json.loads(written(tmp_path).read_bytes())[TZ1]["block"] == {"level": 7, "round": 0, "hash": HASH}
    assert not ahead(tmp_path).exists()
    await store.close()


async def test_older_folders_are_passed_over_once_there_is_a_new_one_and_named_each_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put_v2(tmp_path)
    put_older(tmp_path)
    for _ in range(2):
        caplog.clear()
        store = await opened(tmp_path)
        assert (await store.current(CHAIN, TZ1, "block")) == Mark(2, 0, DIGEST)
        await store.close()
        warned = [record.message for record in caplog.records if record.levelno == logging.WARNING]
        assert [name in text for name, text in zip(older.NAMES, warned, strict=True)] == [True, True]


async def test_empty_older_folders_are_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "watermark_v1").mkdir()
    store = await opened(tmp_path)
    assert await store.inspect() == {}
    await store.close()
    assert "watermark_v1" not in caplog.text


async def test_files_that_signatory_passed_over_are_passed_over(tmp_path: Path) -> None:
    put_older(tmp_path)
    (tmp_path / "watermark_v1" / "watermark123456").write_text("torn")
    store = await opened(tmp_path)
    assert (await store.current(CHAIN, TZ1, "attestation")) == Mark(6, 1, DIGEST)
    await store.close()


@pytest.mark.parametrize("folder", older.NAMES)
@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"a":1}', b'{"a":{"b":{"level":-1}}}', b'{"a":{"level":1}', b"\xff"]
)
async def test_an_older_file_that_cannot_be_read_stops_the_start_and_nothing_is_migrated(
    tmp_path: Path, folder: str, data: bytes
) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / f"{CHAIN}.json").write_bytes(data)
    with pytest.raises(ConfigError, match=f"{folder}/{CHAIN}.json cannot be read") as caught:
        await opened(tmp_path)
    assert caught.value.hint
    assert not (tmp_path / "watermark_v2").exists()


async def test_an_older_file_of_no_chain_stops_the_start(tmp_path: Path) -> None:
    put(tmp_path, "watermark_v1", {}, "backup")
    with pytest.raises(ConfigError, match=r"backup\.json is not a watermark file"):
        await opened(tmp_path)


@pytest.mark.parametrize(
    "fields", [{"level": 1}, {"level": 1, "order": "0"}, {"order": 0}, {"level": 1, "order": True}]
)
def test_a_mark_whose_place_in_the_order_is_not_known_is_malformed(fields: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        older.from_v1(v1(**fields))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["level", HASH, ""]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["level", "round", "order", "hash", TZ1, "block"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.binary(max_size=100) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_older_marks_or_malformed(data: bytes) -> None:
    for reader in (older.from_v0, older.from_v1):
        try:
            chain = reader(data)
        except MalformedError:
            continue
        assert marks.decode(marks.encode(chain)) == chain
