"""The strict CBOR reader: what comes through, and that all else is a MalformedError."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import MalformedError
from signatory.nitro import strict

_keys = st.text(max_size=5) | st.integers(-(2**63), 2**63)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=8,
)


@given(value=_values)
def test_what_cbor2_writes_of_plain_values_comes_back(value: object) -> None:
    assert strict.decode(cbor2.dumps(value)) == value


@given(data=st.binary(max_size=64))
def test_any_bytes_are_a_value_or_malformed(data: bytes) -> None:
    for read in (strict.decode, strict.decode_map):
        try:
            read(data)
        except MalformedError:
            continue


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("", "nothing at all"),
        ("0000", "a trailing byte"),
        ("a201000100", "a key twice"),
        ("a2616100616101", "a text key twice"),
        ("9f00ff", "an indefinite array"),
        ("5f4100ff", "an indefinite byte string"),
        ("7f6161ff", "an indefinite text"),
        ("bf0000ff", "an indefinite map where none is asked for"),
        ("c11a00000000", "a date"),
        ("c24101", "a bignum"),
        ("d81c80", "a shared reference"),
        ("d9d9f700", "the self-description tag"),
        ("d2844040a040", "another tag"),
        ("f90000", "a float"),
        ("f7", "undefined"),
        ("e0", "a simple value"),
        ("a1f400", "a boolean key"),
        ("a1410000", "a byte string as key"),
        ("a18000", "an array as key"),
        ("62c328", "a text that is not UTF-8"),
        ("9bffffffffffffffff", "a length beyond all memory"),
        ("5bffffffffffffffff00", "a byte string beyond all memory"),
        ("81" * 300 + "00", "nesting without end"),
    ],
)
def test_what_nitro_never_writes_is_refused(data: str, what: str) -> None:
    with pytest.raises(MalformedError):
        strict.decode(bytes.fromhex(data))


def test_an_outer_map_may_be_indefinite_where_asked_for() -> None:
    assert strict.decode_map(bytes.fromhex("bf6161000102ff")) == {"a": 0, 1: 2}
    assert strict.decode_map(bytes.fromhex("a26161000102")) == {"a": 0, 1: 2}


@pytest.mark.parametrize(
    "data",
    ["bf00", "bf0000", "bf0000ff00", "bf00000001ff", "bf009f00ffff", "bf00bfffff", "bff400ff", "80", "00"],
)
def test_an_outer_map_is_whole_with_every_key_once_and_definite_inside(data: str) -> None:
    with pytest.raises(MalformedError):
        strict.decode_map(bytes.fromhex(data))


@pytest.mark.parametrize("count", [1024, 1025, 1_000_000])
@pytest.mark.parametrize("item", [b"\xa0", b"\x80", b"\x00", b"\x40", b"\x60", b"\x18\xff", b"\xf6"])
def test_more_items_than_anything_has_are_refused_before_they_are_made(
    item: bytes, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    decoder = cbor2.CBORDecoder
    monkeypatch.setattr(
        strict.cbor2, "CBORDecoder", lambda *args, **options: made.append(1) or decoder(*args, **options)
    )
    data = b"\x9a" + (count - 1).to_bytes(4, "big") + item * (count - 1)
    if count > 1024:
        with pytest.raises(MalformedError, match=r"^CBOR: more than 1024 items$"):
            strict.decode(data)
        with pytest.raises(MalformedError, match=r"^CBOR: more than 1024 items$"):
            strict.decode_map(b"\xbf\x61a" + data + b"\xff")
        assert not made
    else:
        assert len(strict.decode(data)) == count - 1


@given(value=st.binary(min_size=1025, max_size=70_000) | st.text(min_size=1025, max_size=9000))
def test_a_long_string_is_one_item_whatever_is_in_it(value: object) -> None:
    assert strict.decode(cbor2.dumps([value, value])) == [value, value]
