"""What operations cost, and who gets something by them, is what their bytes say."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from request_builder import Read, b58, batches, public_key
from request_samples import (
    FALSE,
    HASH20,
    IMPLICIT,
    KT1,
    MANAGER,
    OPERATIONS,
    TRUE,
    TZ1,
    TZ2,
    dyn,
    generic,
    natural,
    parameters,
    transaction,
)

from signatory.crypto.curves import SigningVersion
from signatory.errors import MalformedError
from signatory.tezos import accounts
from signatory.tezos.requests import parse

TZ1_TEXT = b58("06a19f", b"\xa1" * 20)
TZ2_TEXT = b58("06a1a1", b"\xa2" * 20)
TZ4_TEXT = b58("06a1a6", b"\xa4" * 20)
KT1_TEXT = b58("025a79", b"\xc1" * 20)
SR1_TEXT = b58("067c75", HASH20)

ANONYMOUS = {
    "seed_nonce_revelation",
    "double_consensus_operation_evidence",
    "double_baking_evidence",
    "vdf_revelation",
    "failing_noop",
    "dal_entrapment_evidence",
    "preattestations_aggregate",
    "attestations_aggregate",
    "signature_prefix",
}
VOTES = {"proposals": TZ2_TEXT, "ballot:yay": TZ1_TEXT, "ballot:nay": TZ1_TEXT, "ballot:pass": TZ1_TEXT}


def hash_of(prefix: str, key: bytes) -> str:
    return b58(prefix, hashlib.blake2b(key, digest_size=20).digest())


def paid(
    kind: str, *to: str, amount: int | None = None, unknown: bool = False, fee: int = 1000, by: str = TZ1_TEXT
) -> Read:
    return Read(kind, by, fee, amount, unknown, to)


MOVES = {
    "activate_account": Read("activate_account", destinations=(b58("06a19f", HASH20),)),
    "drain_delegate": Read("drain_delegate", source=TZ4_TEXT, amount_unknown=True, destinations=(TZ2_TEXT,)),
    "transaction": paid("transaction", KT1_TEXT, amount=1_000_000, fee=400),
    "origination": paid("origination", TZ1_TEXT, amount=0),
    "delegation": paid("delegation", TZ2_TEXT),
    "increase_paid_storage": paid("increase_paid_storage", KT1_TEXT, unknown=True),
    "update_consensus_key": paid("update_consensus_key", hash_of("06a19f", b"\x32" * 32)),
    "update_companion_key": paid("update_companion_key", hash_of("06a1a6", b"\x48" * 48)),
    "transfer_ticket": paid("transfer_ticket", TZ2_TEXT),
    "smart_rollup_originate": paid("smart_rollup_originate", TZ1_TEXT, TZ4_TEXT),
    "smart_rollup_publish": paid("smart_rollup_publish", SR1_TEXT, unknown=True),
    "smart_rollup_recover_bond": paid("smart_rollup_recover_bond", TZ1_TEXT),
    "zk_rollup_publish": paid("zk_rollup_publish", b58("0117e07d", HASH20), TZ1_TEXT),
}
"""The operations that move money, tickets or rights."""


def one(operation: bytes) -> Read:
    (found,) = parse(generic(operation)).contents
    return Read.of(found)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_kind_tells_who_pays_what_and_who_gets_something(name: str) -> None:
    if name in MOVES:
        expected = MOVES[name]
    elif name in ANONYMOUS:
        expected = Read(name)
    elif name in VOTES:
        expected = Read(name, VOTES[name])
    else:
        expected = paid(name)
    assert one(OPERATIONS[name]) == expected


@given(operations=batches())
def test_a_batch_is_read_as_it_was_put_together(operations: list[tuple[bytes, Read]]) -> None:
    request = parse(generic(*(data for data, _ in operations)))
    assert [Read.of(operation) for operation in request.contents] == [read for _, read in operations]
    assert request.operations == tuple(read.kind for _, read in operations)


@given(operations=batches(families=4))
def test_version_1_reads_the_same_batch_alike(operations: list[tuple[bytes, Read]]) -> None:
    message = generic(*(data for data, _ in operations if data[0] != 114))
    assert parse(message, SigningVersion.V1) == parse(message)


@pytest.mark.parametrize(("tag", "name"), [(6, "stake"), (7, "unstake"), (8, "finalize_unstake")])
def test_an_operation_on_ones_own_stake_goes_to_oneself(tag: int, name: str) -> None:
    own = transaction(to=b"\x00" + TZ1, parameters=parameters(bytes([tag])))
    assert one(own) == paid(name, TZ1_TEXT, amount=1_000_000, fee=400)


def test_the_balance_of_an_origination_goes_to_an_account_without_an_address() -> None:
    script = dyn(b"\x02" + dyn(b"")) + dyn(b"\x03\x0b")
    assert one(b"\x6d" + MANAGER + natural(77) + FALSE + script) == paid("origination", amount=77)
    delegated = one(b"\x6d" + MANAGER + natural(77) + TRUE + TZ2 + script)
    assert delegated == paid("origination", TZ2_TEXT, amount=77)


def test_a_withdrawn_delegation_gives_nobody_a_right() -> None:
    assert one(b"\x6e" + MANAGER + FALSE) == paid("delegation")


@given(key=public_key())
def test_a_new_consensus_key_is_named_by_its_hash(key: tuple[bytes, str]) -> None:
    data, text = key
    assert one(b"\x72" + MANAGER + data + FALSE).destinations == (text,)


def test_the_amount_of_tickets_is_not_an_amount_of_money() -> None:
    tickets = dyn(b"\x03\x0b") * 2 + KT1 + natural(10**30) + IMPLICIT + dyn(b"")
    assert one(b"\x9e" + MANAGER + tickets) == paid("transfer_ticket", TZ2_TEXT)


def test_requests_without_operations_have_no_contents() -> None:
    assert parse(generic()).contents == ()
    assert parse(b"\x05\x03\x0b").contents == ()


def test_texts_are_made_only_when_somebody_asks() -> None:
    accounts.text.cache_clear()
    request = parse(generic(transaction(to=IMPLICIT), b"\x6e" + MANAGER + TRUE + TZ2))
    assert accounts.text.cache_info().misses == 0
    assert request.contents[0].destinations == request.contents[1].destinations == (TZ2_TEXT,)
    assert accounts.text.cache_info().misses == 1


@given(operations=batches(), at=st.data())
def test_a_batch_that_is_cut_short_is_malformed_or_a_shorter_batch(
    operations: list[tuple[bytes, Read]], at: st.DataObject
) -> None:
    message = generic(*(data for data, _ in operations))
    length = at.draw(st.integers(0, len(message)))
    try:
        request = parse(message[:length])
    except MalformedError:
        return
    found = [operation.fee for operation in request.contents]
    assert found == [read.fee for _, read in operations[: len(found)]]
