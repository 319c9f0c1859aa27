"""Generic requests become the kinds of their operations, whatever stands beside them."""

import struct

import pytest
from request_samples import (
    ATTESTATION_21,
    ATTESTATION_23,
    BLS_SIGNATURE,
    COMMITTEE_30,
    EXPRESSION,
    FALSE,
    HASH32,
    IMPLICIT,
    KT1,
    MANAGER,
    OPERATIONS,
    PREATTESTATION_20,
    REFUTATIONS,
    ROLLUP,
    SIGNATURE,
    TRUE,
    TZ1,
    TZ2,
    TZ4,
    TZ5,
    UNIT,
    ballot,
    dyn,
    generic,
    i32,
    inlined,
    natural,
    parameters,
    transaction,
    u16,
)

from signatory.crypto.curves import SigningVersion
from signatory.errors import MalformedError
from signatory.policy.kinds import OPERATION_KINDS
from signatory.tezos.requests import SignRequest, parse

PLAIN = transaction()


def kinds(*operations: bytes, version: SigningVersion = SigningVersion.LATEST) -> tuple[str, ...]:
    return parse(generic(*operations), version).operations


def test_the_samples_cover_every_kind() -> None:
    own = {"stake", "unstake", "finalize_unstake", "set_delegate_parameters"}
    assert {name.partition(":")[0] for name in OPERATIONS} == set(OPERATION_KINDS) - own


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_named_and_ends_where_the_next_begins(name: str) -> None:
    assert kinds(OPERATIONS[name]) == (name,)
    assert kinds(OPERATIONS[name], PLAIN, OPERATIONS[name]) == (name, "transaction", name)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_that_ends_early_is_refused_at_every_length(name: str) -> None:
    operation = OPERATIONS[name]
    may_end = {len(operation) - 1} if name == "update_consensus_key" else set()
    for length in range(1, len(operation)):
        if length in may_end:
            continue
        if name == "reveal" and operation[length:] == TRUE + dyn(BLS_SIGNATURE):
            continue
        with pytest.raises(MalformedError):
            kinds(operation[:length])


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_byte_after_an_operation_is_refused(name: str) -> None:
    with pytest.raises(MalformedError, match="unknown tag 0"):
        kinds(OPERATIONS[name], b"\x00")


def test_a_batch_keeps_its_order_and_its_last_operation() -> None:
    names = [name for name in OPERATIONS if name != "failing_noop"]
    request = parse(generic(*(OPERATIONS[name] for name in names), OPERATIONS["failing_noop"]))
    assert request.operations == (*names, "failing_noop")
    assert tuple(operation.kind for operation in request.contents) == request.operations


def test_a_batch_without_operations_is_read() -> None:
    assert parse(generic()) == SignRequest("generic", ())


def test_a_batch_holds_ten_thousand_operations_and_no_more() -> None:
    assert kinds(*[b"\x11" + dyn(b"")] * 10_000) == ("failing_noop",) * 10_000
    for count in (10_001, 100_000):
        with pytest.raises(MalformedError, match="more than 10000 operations"):
            kinds(*[b"\x11" + dyn(b"")] * count)


@pytest.mark.parametrize("tag", sorted({*range(256)} - {operation[0] for operation in OPERATIONS.values()}))
def test_an_unknown_tag_is_refused_by_its_number(tag: int) -> None:
    with pytest.raises(MalformedError, match=f"^gotez: unknown tag {tag}$"):
        kinds(bytes([tag]) + bytes(300))


@pytest.mark.parametrize("content", [PREATTESTATION_20, ATTESTATION_21, ATTESTATION_23])
def test_consensus_content_is_no_operation_of_a_generic_request(content: bytes) -> None:
    with pytest.raises(MalformedError, match=f"unknown tag {content[0]}"):
        kinds(content)


OWN = {6: "stake", 7: "unstake", 8: "finalize_unstake", 9: "set_delegate_parameters"}


@pytest.mark.parametrize(("tag", "name"), OWN.items())
@pytest.mark.parametrize("account", [TZ1, TZ2, TZ4, TZ5])
def test_a_transaction_to_oneself_with_a_staking_entrypoint_has_its_own_name(
    tag: int, name: str, account: bytes
) -> None:
    own = transaction(source=account, to=b"\x00" + account, parameters=parameters(bytes([tag])))
    assert kinds(own) == (name,)


@pytest.mark.parametrize("tag", OWN)
def test_the_same_entrypoint_of_somebody_else_is_a_transaction(tag: int) -> None:
    argument = parameters(bytes([tag]))
    assert kinds(transaction(source=TZ1, to=IMPLICIT, parameters=argument)) == ("transaction",)
    # The same 20 bytes under another family, and a contract whose bytes repeat those of the source.
    assert kinds(transaction(source=TZ1, to=b"\x00\x01" + TZ1[1:], parameters=argument)) == ("transaction",)
    contract = b"\x01" + TZ1[1:] + b"\x00"
    assert kinds(transaction(source=TZ1, to=contract, parameters=argument)) == ("transaction",)


@pytest.mark.parametrize("tag", [0, 1, 2, 3, 4, 5])
def test_the_other_entrypoints_to_oneself_are_transactions(tag: int) -> None:
    own = transaction(source=TZ1, to=b"\x00" + TZ1, parameters=parameters(bytes([tag])))
    assert kinds(own) == ("transaction",)


def test_an_entrypoint_spelled_out_stays_a_transaction() -> None:
    own = transaction(source=TZ1, to=b"\x00" + TZ1, parameters=parameters(b"\xff\x05stake"))
    assert kinds(own) == ("transaction",)


def test_entrypoints_have_known_tags_and_names_of_up_to_31_characters() -> None:
    assert kinds(transaction(parameters=parameters(b"\xff\x1f" + b"n" * 31))) == ("transaction",)
    with pytest.raises(MalformedError, match="32 characters"):
        kinds(transaction(parameters=parameters(b"\xff\x20" + b"n" * 32)))
    with pytest.raises(MalformedError, match="unknown tag 10"):
        kinds(transaction(parameters=parameters(b"\x0a")))


def test_a_fourth_way_to_vote_is_refused() -> None:
    with pytest.raises(MalformedError, match="unknown tag 3"):
        kinds(ballot(3))


@pytest.mark.parametrize("name", REFUTATIONS)
def test_every_move_of_a_refutation_ends_where_the_next_operation_begins(name: str) -> None:
    refute = b"\xcc" + ROLLUP + TZ2 + REFUTATIONS[name]
    assert kinds(refute, PLAIN) == ("smart_rollup_refute", "transaction")
    for length in range(len(refute) - len(REFUTATIONS[name]), len(refute)):
        with pytest.raises(MalformedError):
            kinds(refute[:length])


def test_a_key_may_be_revealed_without_proof_and_in_the_form_before_protocol_023() -> None:
    ed25519 = b"\x6b" + MANAGER + b"\x00" + HASH32
    assert kinds(ed25519 + FALSE, PLAIN) == ("reveal", "transaction")
    assert kinds(PLAIN, ed25519) == ("transaction", "reveal")
    assert kinds(b"\x72" + ed25519[1:]) == ("update_consensus_key",)


def test_a_proof_of_possession_fills_96_bytes() -> None:
    for size in (0, 64, 95, 97):
        with pytest.raises(MalformedError):
            kinds(b"\x6b" + MANAGER + b"\x03" + bytes(48) + TRUE + dyn(bytes(size)))


@pytest.mark.parametrize(("tag", "size"), [(0, 32), (1, 33), (2, 33), (3, 48), (4, 1312)])
def test_the_tag_of_a_public_key_decides_its_length(tag: int, size: int) -> None:
    assert kinds(b"\x6b" + MANAGER + bytes([tag]) + bytes(size) + FALSE, PLAIN) == ("reveal", "transaction")
    with pytest.raises(MalformedError):
        kinds(b"\x6b" + MANAGER + bytes([tag]) + bytes(size - 1))


def test_accounts_of_every_family_are_known_and_no_other() -> None:
    for account in (TZ1, TZ2, b"\x02" + bytes(20), TZ4, TZ5):
        assert kinds(transaction(source=account, to=b"\x00" + account)) == ("transaction",)
    with pytest.raises(MalformedError, match="unknown tag 5"):
        kinds(transaction(source=b"\x05" + bytes(20)))
    with pytest.raises(MalformedError, match="unknown tag 2"):
        kinds(transaction(to=b"\x02" + bytes(21)))
    with pytest.raises(MalformedError, match="unknown tag 0"):
        kinds(b"\x71" + MANAGER + b"\x05" + IMPLICIT)


def test_numbers_have_one_form() -> None:
    for amount in (b"\x00", b"\x7f", b"\x80\x01", b"\xff" * 8 + b"\x7f"):
        assert kinds(b"\x6c" + MANAGER + amount + KT1 + FALSE) == ("transaction",)
    with pytest.raises(MalformedError, match="leading zeros"):
        kinds(b"\x6c" + MANAGER + b"\x80\x00" + KT1 + FALSE)
    assert kinds(b"\x71" + MANAGER + b"\x41" + KT1) == ("increase_paid_storage",)
    with pytest.raises(MalformedError, match="minus zero"):
        kinds(b"\x71" + MANAGER + b"\x40" + KT1)
    with pytest.raises(MalformedError, match="minus zero"):
        parse(b"\x05\x00\x40")


def test_an_optional_field_is_there_by_ff_and_absent_by_00_and_nothing_else() -> None:
    assert kinds(b"\x6e" + MANAGER + b"\xff" + TZ2) == ("delegation",)
    assert kinds(b"\x6e" + MANAGER + b"\x00") == ("delegation",)
    for flag in (b"\x01", b"\x7f", b"\xfe"):
        with pytest.raises(MalformedError, match=f"invalid boolean 0x{flag.hex()}"):
            kinds(b"\x6e" + MANAGER + flag + TZ2)


def test_what_stands_in_a_sized_field_fills_it() -> None:
    for argument in (b"", UNIT + b"\x00", EXPRESSION + UNIT, EXPRESSION[:-1]):
        with pytest.raises(MalformedError):
            kinds(b"\x6f" + MANAGER + dyn(argument))
    for rows in (HASH32 + b"\x00", HASH32[:-1]):
        with pytest.raises(MalformedError):
            kinds(b"\x05" + TZ1 + i32(1) + dyn(rows))


def test_accusations_hold_what_consensus_signs_and_a_signature_of_a_known_length() -> None:
    known = (PREATTESTATION_20, ATTESTATION_21, ATTESTATION_23, b"\x1e" + COMMITTEE_30)
    for content in known:
        for signature in (SIGNATURE, BLS_SIGNATURE, bytes(2420)):
            evidence = b"\x02" + u16(1) + inlined(content, signature) + inlined(ATTESTATION_21)
            assert kinds(evidence) == ("double_consensus_operation_evidence",)
    for content, signature in (
        (b"\x29" + bytes(40), SIGNATURE),
        (ATTESTATION_21, bytes(65)),
        (ATTESTATION_21, b""),
    ):
        with pytest.raises(MalformedError):
            kinds(b"\x02" + u16(1) + inlined(content, signature) + inlined(ATTESTATION_21))


def test_an_entrapment_in_the_form_before_protocol_025_is_refused() -> None:
    shard = i32(117) + dyn(b"\x99" * 40) + b"\x48" * 48
    now = b"\x18" + inlined(ATTESTATION_23) + u16(4) + b"\x02" + FALSE + shard
    assert kinds(now) == ("dal_entrapment_evidence",)
    with pytest.raises(MalformedError):
        kinds(b"\x18" + inlined(ATTESTATION_23) + u16(4) + b"\x02" + shard)


def test_the_prefix_of_a_signature_is_as_long_as_its_family_needs() -> None:
    assert kinds(b"\xff\x03" + bytes(32)) == ("signature_prefix",)
    assert kinds(b"\xff\x04" + bytes(2420 - 64)) == ("signature_prefix",)
    with pytest.raises(MalformedError, match="unknown tag 0"):
        kinds(b"\xff\x00" + bytes(32))


VERSION_1 = {
    "double_attestation_evidence": b"\x02" + inlined(ATTESTATION_21) + inlined(ATTESTATION_23),
    "double_preattestation_evidence": b"\x07" + inlined(PREATTESTATION_20) + inlined(PREATTESTATION_20),
    "preattestation": PREATTESTATION_20,
    "attestation": ATTESTATION_21,
    "attestation_with_dal": ATTESTATION_23,
    "dal_entrapment_evidence": b"\x18"
    + inlined(ATTESTATION_23)
    + b"\x02"
    + i32(1)
    + dyn(b"shard")
    + bytes(48),
    "attestations_aggregate": b"\x1f" + COMMITTEE_30,
    "reveal": b"\x6b" + MANAGER + b"\x00" + HASH32,
    "update_consensus_key": b"\x72" + MANAGER + b"\x03" + bytes(48) + TRUE + dyn(BLS_SIGNATURE),
    "smart_rollup_publish": b"\xcb" + ROLLUP + HASH32 + i32(9) + HASH32 + struct.pack(">q", 1),
    "delegation": b"\x6e" + MANAGER + FALSE,
}


@pytest.mark.parametrize("name", VERSION_1)
def test_version_1_reads_the_grammar_of_protocol_022(name: str) -> None:
    assert kinds(VERSION_1[name], PLAIN, version=SigningVersion.V1) == (name, "transaction")


@pytest.mark.parametrize("tag", [30, 40, 41, 115])
def test_version_1_refuses_what_came_after_protocol_022(tag: int) -> None:
    with pytest.raises(MalformedError, match=f"unknown tag {tag}"):
        kinds(bytes([tag]) + bytes(300), version=SigningVersion.V1)


def test_version_1_knows_neither_pack_nor_tz5() -> None:
    with pytest.raises(MalformedError, match=r"^gotez: unknown tag 5$"):
        parse(b"\x05" + UNIT, SigningVersion.V1)
    with pytest.raises(MalformedError, match="unknown tag 4"):
        kinds(transaction(source=TZ5), version=SigningVersion.V1)
    with pytest.raises(MalformedError):
        kinds(b"\x6b" + MANAGER + b"\x00" + HASH32 + FALSE, version=SigningVersion.V1)


def test_amounts_and_fees_fit_into_64_bits_and_gas_into_ten_bytes() -> None:
    assert kinds(b"\x70" + MANAGER + TRUE + natural(2**63 - 1)) == ("set_deposits_limit",)
    for amount in (2**63, 2**70, 2**4000):
        with pytest.raises(MalformedError, match=r"64 bits|bytes long"):
            kinds(b"\x70" + MANAGER + TRUE + natural(amount))
        with pytest.raises(MalformedError, match=r"64 bits|bytes long"):
            kinds(b"\x6e" + TZ1 + natural(amount) + b"\x01\x01\x01" + FALSE)
    assert kinds(b"\x6e" + TZ1 + b"\x01" + natural(2**70 - 1) * 3 + FALSE) == ("delegation",)
    for at in range(3):
        limits = [natural(2**70) if index == at else b"\x01" for index in range(3)]
        with pytest.raises(MalformedError, match="11 bytes long"):
            kinds(b"\x6e" + TZ1 + b"\x01" + b"".join(limits) + FALSE)


def test_numbers_without_a_limit_are_passed_over() -> None:
    assert kinds(b"\x71" + MANAGER + natural(2**4000) + KT1) == ("increase_paid_storage",)
    aggregate = b"\x1f" + i32(1) + i32(0) + HASH32 + dyn(u16(1) + TRUE + natural(2**4000))
    assert kinds(aggregate) == ("attestations_aggregate",)


def test_what_octez_refuses_inside_an_operation_is_refused() -> None:
    ticket = b"\x9e" + MANAGER + dyn(UNIT) + dyn(UNIT) + KT1
    assert kinds(ticket + natural(1) + KT1 + dyn(b"e" * 31)) == ("transfer_ticket",)
    refused = {
        "tickets is zero": ticket + natural(0) + KT1 + dyn(b""),
        "32 characters": ticket + natural(1) + KT1 + dyn(b"e" * 32),
        "padding": b"\x6c" + MANAGER + b"\x01" + KT1[:-1] + b"\x01" + FALSE,
        "more than 20": b"\x05" + TZ1 + i32(1) + dyn(HASH32 * 21),
        "level is negative": b"\x01" + i32(-1) + HASH32,
        "31 bits": b"\xfa" + MANAGER + dyn(b"") + dyn(b"") + dyn(b"") + i32(2**30),
        "invalid boolean": b"\xfc" + ROLLUP + dyn(dyn(b"op") + dyn(b"") + HASH32 + b"\x01") + dyn(b"") * 3,
    }
    for reason, operation in refused.items():
        with pytest.raises(MalformedError, match=reason):
            kinds(operation)
    assert kinds(b"\x05" + TZ1 + i32(1) + dyn(HASH32 * 20)) == ("proposals",)


def test_kinds_and_sizes_inside_rollup_operations_are_bounded() -> None:
    with pytest.raises(MalformedError, match="unknown tag 3"):
        kinds(b"\xc8" + MANAGER + b"\x03" + dyn(b"kernel") + dyn(UNIT) + FALSE)
    too_much = b"\x01" + natural(5) + b"\x01" + dyn(b"step") + TRUE + b"\x01\x00" + u16(4097) + bytes(4097)
    with pytest.raises(MalformedError, match="4097 bytes long"):
        kinds(b"\xcc" + ROLLUP + TZ2 + too_much)
    with pytest.raises(MalformedError, match="unknown tag 2"):
        kinds(b"\xcc" + ROLLUP + TZ2 + b"\x02" + HASH32 + HASH32)


def test_an_account_that_ends_early_is_refused_with_what_was_left() -> None:
    with pytest.raises(MalformedError, match=r"at least 21 byte\(s\) were expected, had 3"):
        kinds(b"\x09" + TZ1[:3])
