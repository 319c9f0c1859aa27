"""Whatever bytes arrive, they are a request or malformed, soon and without deep recursion."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from request_samples import (
    EXPRESSION,
    HASH20,
    HASH32,
    MANAGER,
    OPERATIONS,
    REFUTATIONS,
    ROLLUP,
    TZ1,
    TZ2,
    UNIT,
    block,
    consensus,
    dyn,
    generic,
    i32,
    parameters,
    transaction,
)

from signatory.crypto.curves import SigningVersion
from signatory.errors import MalformedError
from signatory.tezos.reader import MAX_ITEMS
from signatory.tezos.requests import SignRequest, parse

SAMPLES = [
    *(generic(operation) for operation in OPERATIONS.values()),
    *(generic(b"\xcc" + ROLLUP + TZ2 + move) for move in REFUTATIONS.values()),
    block(66_299, 5),
    consensus(0x12, 20, 9, 1),
    consensus(0x13, 23, 9, 1),
    consensus(0x13, 41, 9, 1),
    b"\x05" + EXPRESSION,
]
WATERMARKED = {"block", "preattestation", "attestation", "attestation_with_dal"}

versions = st.sampled_from(SigningVersion)
magics = st.sampled_from([b"\x03" + bytes(32), b"\x05", b"\x11", b"\x12", b"\x13", b""])


def parsed(message: bytes, version: SigningVersion) -> SignRequest | None:
    """The request; None when it is malformed. Every other exception fails the test."""
    try:
        return parse(message, version)
    except MalformedError:
        return None


def check(message: bytes, version: SigningVersion) -> None:
    request = parsed(message, version)
    if request is None:
        return
    place = (request.chain_id, request.level, request.round)
    if request.kind in WATERMARKED:
        assert request.chain_id
        assert request.level is not None
        assert request.round is not None
        assert request.level >= 0
        assert request.round >= 0
        assert request.operations == ()
    else:
        assert request.kind in {"generic", "pack"}
        assert place == (None, None, None)


@given(magic=magics, body=st.binary(max_size=400), version=versions)
def test_any_bytes_are_a_request_or_malformed(magic: bytes, body: bytes, version: SigningVersion) -> None:
    check(magic + body, version)


@given(data=st.data(), sample=st.sampled_from(SAMPLES), version=versions)
def test_any_damage_to_a_good_request_leaves_a_request_or_is_malformed(
    data: st.DataObject, sample: bytes, version: SigningVersion
) -> None:
    at = data.draw(st.integers(0, len(sample) - 1))
    cut = data.draw(st.integers(at, min(at + 8, len(sample))))
    check(sample[:at] + data.draw(st.binary(max_size=8)) + sample[cut:], version)


@given(sample=st.sampled_from(SAMPLES), tail=st.binary(min_size=1, max_size=40))
def test_a_tail_never_vanishes(sample: bytes, tail: bytes) -> None:
    request = parsed(sample + tail, SigningVersion.LATEST)
    if request is not None:
        assert request.kind == "generic"
        assert len(request.operations) > len(parse(sample).operations)


@pytest.mark.parametrize("magic", sorted({*range(256)} - {0x03, 0x05, 0x11, 0x12, 0x13}))
def test_a_message_of_no_known_kind_is_refused_by_the_number_of_its_first_byte(magic: int) -> None:
    for length in range(0, 201, 25):
        with pytest.raises(MalformedError, match=rf"^gotez: unknown tag {magic}$"):
            parse(bytes([magic]) + bytes(length))


def test_an_empty_message_is_refused_with_the_known_text() -> None:
    text = r"^gotez: buffer is too short, at least 1 byte\(s\) were expected, had 0$"
    with pytest.raises(MalformedError, match=text):
        parse(b"")


@pytest.mark.parametrize("magic", [0x03, 0x05, 0x11, 0x12, 0x13])
def test_zeros_of_any_length_after_a_known_first_byte_are_a_request_or_malformed(magic: int) -> None:
    for length in range(201):
        check(bytes([magic]) + bytes(length), SigningVersion.LATEST)


def test_a_packed_value_fills_the_message() -> None:
    assert parse(b"\x05" + EXPRESSION) == SignRequest("pack")
    for tail in (b"\x00", UNIT):
        with pytest.raises(MalformedError, match="left over"):
            parse(b"\x05" + EXPRESSION + tail)
    for length in range(len(EXPRESSION)):
        with pytest.raises(MalformedError):
            parse(b"\x05" + EXPRESSION[:length])


@pytest.mark.parametrize("tag", [11, 12, 127, 255])
def test_micheline_has_eleven_forms(tag: int) -> None:
    with pytest.raises(MalformedError, match=f"unknown tag {tag}"):
        parse(b"\x05" + bytes([tag]) + bytes(20))


def nested_pairs(depth: int) -> bytes:
    return b"\x07\x07" * depth + UNIT * (depth + 1)


def nested_sequences(depth: int) -> bytes:
    body = b""
    for _ in range(depth):
        body = b"\x02" + struct.pack(">I", len(body)) + body
    return body


def test_nesting_within_the_limit_is_read() -> None:
    for expression in (nested_pairs(9_000), nested_sequences(2_000), b"\x05\x05" * 20_000 + UNIT):
        assert parse(b"\x05" + expression) == SignRequest("pack")


@pytest.mark.parametrize(
    "expression",
    [
        nested_pairs(60_000),
        b"\x07\x07" * 120_000,
        b"\x08\x07" * 120_000,
        b"\x05\x05" * 120_000 + UNIT,
        b"\x02\x7f\xff\xff\xff" * 50_000,
        b"\x02" + dyn(UNIT * MAX_ITEMS),
        b"\x09\x00" + dyn(UNIT * MAX_ITEMS) + dyn(b""),
    ],
    ids=[
        "pairs",
        "open pairs",
        "annotated pairs",
        "single arguments",
        "open sequences",
        "wide",
        "wide primitive",
    ],
)
def test_hostile_nesting_is_malformed_not_a_crash(expression: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(b"\x05" + expression)
    with pytest.raises(MalformedError):
        parse(generic(OPERATIONS["failing_noop"], OPERATIONS["transaction"][:-1] + dyn(expression)))


def full(count: int) -> dict[str, bytes]:
    """Requests with so many nodes and elements, in each place where they are small and many."""
    half = b"\x02" + dyn(UNIT * (count // 2 - 1))
    return {
        "packed": b"\x05\x02" + dyn(UNIT * (count - 1)),
        "two scripts": generic(b"\x6d" + MANAGER + b"\x00\x00" + dyn(half) + dyn(half)),
        "two operations": generic(*[transaction(parameters=parameters(b"\x00", half))] * 2),
        "slots": generic(b"\x1e" + i32(1) + i32(0) + HASH32 + dyn(b"\x00\x01" * count)),
        "messages": generic(b"\xc9" + MANAGER + dyn(dyn(b"") * count)),
        "ticks": generic(b"\xcc" + ROLLUP + TZ2 + b"\x01\x01\x00" + dyn(b"\x00\x01" * count)),
        "circuits": generic(
            b"\xfa" + MANAGER + dyn(b"") + dyn((dyn(b"") + b"\x00") * count) + dyn(b"") + i32(0)
        ),
        "tickets": generic(b"\xfb" + ROLLUP + dyn((bytes(37) + TZ1 + HASH20 + dyn(b"") + b"\x00") * count)),
    }


@pytest.mark.parametrize("name", full(2))
def test_the_nodes_and_list_elements_of_one_request_are_counted_together(name: str) -> None:
    parse(full(MAX_ITEMS)[name])
    with pytest.raises(MalformedError, match="more than 50000 nodes and list elements"):
        parse(full(MAX_ITEMS + 2)[name])


def test_as_many_key_hashes_as_octez_takes_may_commit_to_a_rollup() -> None:
    start = b"\xc8" + MANAGER + b"\x01" + dyn(b"wasm") + dyn(UNIT) + b"\xff"
    assert len(parse(generic(start + dyn(TZ1 * 194))).contents[0].receivers) == 194
    with pytest.raises(MalformedError, match="the whitelist is 4095 bytes long"):
        parse(generic(start + dyn(TZ1 * 195)))


@pytest.mark.parametrize("length", [2**31 - 1, 2**31, 2**32 - 1])
def test_a_length_that_points_outside_is_refused_before_anything_is_read(length: int) -> None:
    size = length.to_bytes(4, "big")
    for message in (generic(b"\x11" + size), b"\x05\x01" + size, b"\x05\x02" + size, b"\x05\x0a" + size):
        with pytest.raises(MalformedError, match=f"at least {length} byte"):
            parse(message)


def test_a_number_that_never_ends_is_refused() -> None:
    with pytest.raises(MalformedError, match="too short"):
        parse(b"\x05\x00" + b"\x80" * 250_000)
