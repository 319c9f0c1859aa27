"""What we read is what Octez would run, or slash for: against its encodings, written down once more.

`octez_encoding` and `octez_operations` share nothing with what they check.
"""

import contextlib

import base58
import octez_operations as octez
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from octez_encoding import UnreadableError, whole
from request_builder import Read, batches
from request_samples import (
    BRANCH,
    HASH32,
    KT1,
    MANAGER,
    OPERATIONS,
    TZ1,
    UNIT,
    block,
    consensus,
    dyn,
    generic,
    parameters,
    transaction,
)

from signatory.crypto.curves import SigningVersion
from signatory.errors import DeniedError, MalformedError
from signatory.tezos.micheline import expression
from signatory.tezos.reader import Reader
from signatory.tezos.requests import SignRequest, parse, understood

VERSIONS = {True: SigningVersion.LATEST, False: SigningVersion.V1}
MESSAGES = [
    *(generic(operation) for operation in OPERATIONS.values()),
    *(generic(transaction(parameters=parameters(bytes([tag])), to=b"\0" + TZ1)) for tag in range(10)),
    generic(b"\x72" + MANAGER + b"\x03" + bytes(48) + b"\xff" + dyn(bytes(96)), transaction()),
    *(consensus(0x12, tag, 9, 1) for tag in (20, 40)),
    *(consensus(0x13, tag, 9, 1) for tag in (21, 23, 41)),
    block(9, 1),
]
CHOSEN = (0, 1, 2, 3, 4, 7, 9, 0x14, 0x17, 0x1F, 0x40, 0x6B, 0x6C, 0x72, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)
"""Tags, booleans, and the edges of numbers."""


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good message with bytes put in place of others, most of them such as mean something."""
    message = draw(st.sampled_from(MESSAGES) | batches(families=5).map(lambda b: generic(*(o for o, _ in b))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(1, len(message)))
        gone = draw(st.sampled_from([0, 1, 1, 1, 2, 4, 20]))
        new = draw(st.lists(st.sampled_from(CHOSEN), max_size=2).map(bytes) | st.binary(max_size=5))
        message = message[:at] + new + message[at + gone :]
    return message + draw(st.sampled_from([b"", b"", b"", *OPERATIONS.values()]))


def read(message: bytes, version: SigningVersion) -> SignRequest | None:
    with contextlib.suppress(MalformedError):
        return parse(message, version)
    return None


def contents(request: SignRequest) -> list[Read]:
    return [Read.of(operation) for operation in request.contents]


@settings(max_examples=600)
@given(message=damaged(), latest=st.booleans())
@example(message=generic(OPERATIONS["reveal"] + b"\x6b" + MANAGER + b"\x00" + HASH32), latest=True)
@example(message=b"\x03" + BRANCH + b"\x6c" + TZ1 + b"\x80\x00\x01\x01\x01\x01" + KT1 + b"\x00", latest=True)
def test_what_octez_would_run_is_read_as_octez_reads_it(message: bytes, *, latest: bool) -> None:
    request = read(message, VERSIONS[latest])
    if (operations := octez.operations(message, latest=latest)) is not None:
        assert request is not None
        assert contents(request) == operations
    if (place := octez.place(message, latest=latest)) is not None:
        assert request is not None
        chain = base58.b58encode_check(bytes.fromhex("575200") + place[0]).decode()
        assert (request.chain_id, request.level, request.round) == (chain, *place[1:])


@settings(max_examples=300)
@given(message=damaged())
def test_an_older_grammar_passes_nothing_that_the_chain_would_run_otherwise(message: bytes) -> None:
    try:
        request = understood(message, SigningVersion.V1)
    except (MalformedError, DeniedError):
        return
    operations = octez.operations(message, latest=True)
    assert operations is None or contents(request) == operations


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_sample_is_one_that_octez_would_run(name: str) -> None:
    if not name.endswith("aggregate") and name != "signature_prefix":
        assert octez.operations(generic(OPERATIONS[name]), latest=True) is not None


nodes = st.recursive(
    st.sampled_from([b"\x00\x05", b"\x00\x40", b"\x00\x80\x00", b"\x00\xbf\x01", b"\x01" + dyn(b"x"), UNIT]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: b"\x02" + dyn(b"".join(parts)))
        | inner.map(lambda part: b"\x05\x05" + part)
        | inner.map(lambda part: b"\x06\x05" + part + dyn(b"%a"))
        | st.tuples(inner, inner).map(lambda pair: b"\x07\x07" + b"".join(pair))
        | st.tuples(inner, inner).map(lambda pair: b"\x08\x07" + b"".join(pair) + dyn(b":b"))
        | st.lists(inner, max_size=3).map(lambda parts: b"\x09\x07" + dyn(b"".join(parts)) + dyn(b""))
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(node=nodes, at=st.integers(0, 60), gone=st.integers(0, 2), new=st.binary(max_size=2))
def test_an_expression_is_read_when_octez_writes_it_so(node: bytes, at: int, gone: int, new: bytes) -> None:
    data = node[:at] + new + node[at + gone :]
    try:
        expected = whole(octez.MICHELINE, data)[1]
    except UnreadableError:
        expected = False
    reader = Reader(data)
    try:
        expression(reader)
        reader.finish()
    except MalformedError:
        assert not expected
    else:
        assert expected
