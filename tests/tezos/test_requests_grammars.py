"""A client chooses the older grammar by `?version=1`; what policy judges must not change by that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from request_builder import Read, batches
from request_samples import (
    ATTESTATION_21,
    ATTESTATION_23,
    BLS_SIGNATURE,
    COMMITTEE_30,
    FALSE,
    HASH32,
    MANAGER,
    OPERATIONS,
    TRUE,
    block,
    consensus,
    dyn,
    generic,
    inlined,
    transaction,
)

from signatory.crypto.curves import SigningVersion
from signatory.errors import DeniedError, MalformedError
from signatory.tezos.requests import GrammarConflictError, parse, understood

V1 = SigningVersion.V1

REVEAL = b"\x6b" + MANAGER + b"\x00" + HASH32
"""In the form of protocol 022: nothing after the key."""

DOUBLE_ATTESTATION = b"\x02" + inlined(ATTESTATION_21) + inlined(ATTESTATION_23)


@pytest.mark.parametrize("version", [SigningVersion.V0, SigningVersion.V2, SigningVersion.LATEST])
def test_other_versions_are_read_once(version: SigningVersion) -> None:
    for message in (block(9, 1), consensus(0x13, 23, 9, 1), generic(transaction()), b"\x05\x03\x0b"):
        assert understood(message, version) == parse(message)


@given(operations=batches(families=4))
def test_requests_that_both_grammars_read_alike_are_let_through(operations: list[tuple[bytes, Read]]) -> None:
    message = generic(*(data for data, _ in operations if data[0] != 114))
    assert understood(message, V1) == parse(message)


@pytest.mark.parametrize(
    "message",
    [
        block(9, 1),
        consensus(0x12, 20, 9, 1),
        consensus(0x13, 21, 9, 1),
        generic(),
        generic(REVEAL),
        generic(b"\x72" + MANAGER + b"\x00" + HASH32 + FALSE, transaction()),
        generic(b"\x72" + MANAGER + b"\x03" + bytes(48) + TRUE + dyn(BLS_SIGNATURE)),
    ],
)
def test_what_both_grammars_name_alike_is_let_through(message: bytes) -> None:
    assert understood(message, V1) == parse(message, V1) == parse(message)


@pytest.mark.parametrize(
    "message",
    [
        generic(REVEAL, transaction()),
        generic(DOUBLE_ATTESTATION),
        generic(ATTESTATION_21),
        generic(ATTESTATION_23),
        generic(b"\x1f" + COMMITTEE_30),
    ],
)
def test_what_only_the_older_grammar_reads_is_let_through(message: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(message)
    assert understood(message, V1) == parse(message, V1)


def test_an_attestation_with_dal_does_not_pass_as_an_attestation() -> None:
    message = consensus(0x13, 23, 9, 1)
    assert parse(message, V1).kind == "attestation"
    with pytest.raises(GrammarConflictError, match="reads differently under protocol 025") as caught:
        understood(message, V1)
    assert isinstance(caught.value, DeniedError)
    assert (caught.value.reading, caught.value.current) == ("attestation", "attestation_with_dal")
    assert caught.value.hint


def test_trailing_bytes_do_not_hide_a_conflict() -> None:
    message = consensus(0x13, 23, 9, 1) + b"\x00"
    with pytest.raises(MalformedError):
        understood(message, V1)
    with pytest.raises(GrammarConflictError):
        understood(message, V1, allow_trailing=True)
    assert understood(message, allow_trailing=True).kind == "attestation_with_dal"


def refused_or_the_same(message: bytes) -> bool:
    """Whether the reading that policy gets under version 1 is that of the current grammar, if it has one."""
    try:
        request = understood(message, V1)
    except (MalformedError, GrammarConflictError):
        return True
    try:
        return parse(message) == request
    except MalformedError:
        return True


@given(tail=st.binary(max_size=140))
def test_no_bytes_after_a_reveal_pass_with_two_readings(tail: bytes) -> None:
    assert refused_or_the_same(generic(REVEAL) + tail)


@given(name=st.sampled_from([*OPERATIONS]), data=st.data())
def test_no_damaged_operation_passes_with_two_readings(name: str, data: st.DataObject) -> None:
    operation = OPERATIONS[name]
    at = data.draw(st.integers(0, len(operation)))
    damaged = operation[:at] + data.draw(st.binary(max_size=4)) + operation[at:]
    assert refused_or_the_same(generic(damaged))
    assert refused_or_the_same(generic(REVEAL, damaged))
    assert refused_or_the_same(generic(damaged, REVEAL))
