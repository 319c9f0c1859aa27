"""The operations of a generic request: every field is read, so that no operation hides behind another.

Source: Octez operation_repr.ml of protocol 025, and of protocol 022 for signature version 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from signatory.errors import MalformedError
from signatory.tezos import accounts, consensus, effects, evidence, rollups
from signatory.tezos.effects import nothing
from signatory.tezos.fields import (
    Field,
    contract,
    dynamic,
    each,
    entrypoint,
    fixed,
    implicit,
    key_hash,
    level,
    manager,
    optional,
    optional_at_end,
    public_key,
    script,
    signature,
    sized,
    tez,
)
from signatory.tezos.reader import Reader, unknown_tag

BRANCH = 32

MAX_OPERATIONS = 10_000
"""Operations of one request. The 32 KiB that a network takes hold some 1,200 of the smallest."""

MAX_PROPOSALS = 20


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation that was read: its name, what it costs its source, and who gets something by it.

    `amount` and `fee` are mutez. `amount` is what leaves the source's spendable balance by the operation
    itself, None where it moves nothing; storage that is burned is not in it. With `amount_unknown` more may
    leave than the bytes tell. `payer` is a public key hash of 21 bytes, `receivers` are as `accounts.text`
    takes them.
    """

    kind: str
    payer: bytes | None = None
    fee: int | None = None
    amount: int | None = None
    amount_unknown: bool = False
    receivers: tuple[bytes, ...] = ()

    @property
    def source(self) -> str | None:
        """Who pays, `tz...`; None for operations that nobody pays for."""
        return None if self.payer is None else accounts.text(accounts.IMPLICIT + self.payer)

    @property
    def destinations(self) -> tuple[str, ...]:
        """The accounts that get money, tickets or rights, in the order of the bytes."""
        return tuple(accounts.text(account) for account in self.receivers)


Kind = Callable[[Reader], Operation]
"""Reads the fields of one operation."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """The operations of a protocol by their tags, and the highest tag of a key family that it knows."""

    kinds: Mapping[int, Kind]
    max_key_tag: int


def batch(reader: Reader, grammar: Grammar) -> tuple[Operation, ...]:
    """The operations after the branch, in order; none if nothing follows the branch."""
    reader.skip(BRANCH)
    kinds = grammar.kinds
    found: list[Operation] = []
    while reader.at < reader.end:
        tag = reader.u8()
        read = kinds.get(tag)
        if read is None:
            raise unknown_tag(tag)
        if len(found) == MAX_OPERATIONS:
            raise MalformedError(f"the request holds more than {MAX_OPERATIONS} operations")
        found.append(read(reader))
    return tuple(found)


OWN_ENTRYPOINTS = {6: "stake", 7: "unstake", 8: "finalize_unstake", 9: "set_delegate_parameters"}
"""What a transaction to oneself is called that goes to one of these entrypoints."""


def transaction(reader: Reader) -> Operation:
    """Manager fields, amount, destination, and entrypoint and argument if any."""
    source, fee = manager(reader)
    amount = tez(reader)
    destination = contract(reader)
    name = "transaction"
    if reader.boolean():
        tag = entrypoint(reader)
        script(reader)
        # A contract of the same 20 bytes has another tag before them, and is not oneself.
        if tag in OWN_ENTRYPOINTS and destination == accounts.IMPLICIT + source:
            name = OWN_ENTRYPOINTS[tag]
    return Operation(name, source, fee, amount, receivers=(destination,))


BALLOTS = ("ballot:yay", "ballot:nay", "ballot:pass")


def ballot(reader: Reader) -> Operation:
    """Voter, period, proposal, vote."""
    voter = key_hash(reader)
    reader.skip(4 + 32)
    vote = reader.u8()
    if vote >= len(BALLOTS):
        raise unknown_tag(vote)
    return Operation(BALLOTS[vote], voter)


def proposals(reader: Reader) -> Operation:
    """Voter, period, proposals."""
    voter = key_hash(reader)
    reader.skip(4)
    at = reader.at
    each(fixed(32))(reader)
    if reader.at - at > 4 + 32 * MAX_PROPOSALS:
        raise MalformedError(f"more than {MAX_PROPOSALS} protocols are proposed")
    return Operation("proposals", voter)


def activate_account(reader: Reader) -> Operation:
    """An account of the fundraiser and its secret: the account gets what it was promised."""
    account = accounts.IMPLICIT + b"\0" + reader.take(20)
    reader.skip(20)
    return Operation("activate_account", receivers=(account,))


def drain_delegate(reader: Reader) -> Operation:
    """A consensus key empties the account of its delegate: the amount is all there is."""
    key_hash(reader)
    delegate = key_hash(reader)
    return Operation("drain_delegate", delegate, amount_unknown=True, receivers=(implicit(reader),))


def anonymous(name: str, *fields: Field) -> Kind:
    """An operation that nobody pays for and that gives nothing of the signer's away."""
    done = Operation(name)

    def read(reader: Reader) -> Operation:
        for field in fields:
            field(reader)
        return done

    return read


def managed(name: str, body: effects.Read) -> Kind:
    """An operation with a source and a fee."""

    def read(reader: Reader) -> Operation:
        source, fee = manager(reader)
        amount, unknown, receivers = body(reader)
        return Operation(name, source, fee, amount, unknown, receivers)

    return read


def _signature_prefix(reader: Reader) -> None:
    # What of a signature does not fit into the 64 bytes at the end of an operation.
    tag = reader.u8()
    if tag > reader.max_key_tag or tag not in SIGNATURE_PREFIXES:
        raise unknown_tag(tag)
    reader.skip(SIGNATURE_PREFIXES[tag])


SIGNATURE_PREFIXES = {3: 96 - 64, 4: 2420 - 64}

_BLS_PROOF = sized(fixed(96))

_BOTH: dict[int, Kind] = {
    1: anonymous("seed_nonce_revelation", level, fixed(32)),
    3: anonymous("double_baking_evidence", *evidence.DOUBLE_BAKING),
    4: activate_account,
    5: proposals,
    6: ballot,
    8: anonymous("vdf_revelation", fixed(200)),
    9: drain_delegate,
    17: anonymous("failing_noop", dynamic),
    108: transaction,
    109: managed("origination", effects.origination),
    110: managed("delegation", effects.delegation),
    111: managed("register_global_constant", nothing(script)),
    112: managed("set_deposits_limit", nothing(optional(tez))),
    113: managed("increase_paid_storage", effects.increase_paid_storage),
    158: managed("transfer_ticket", effects.transfer_ticket),
    200: managed("smart_rollup_originate", effects.smart_rollup_originate),
    201: managed("smart_rollup_add_messages", nothing(*rollups.ADD_MESSAGES)),
    202: managed("smart_rollup_cement", nothing(*rollups.CEMENT)),
    203: managed("smart_rollup_publish", effects.smart_rollup_publish),
    204: managed("smart_rollup_refute", nothing(*rollups.REFUTE)),
    205: managed("smart_rollup_timeout", nothing(*rollups.TIMEOUT)),
    206: managed("smart_rollup_execute_outbox_message", nothing(*rollups.EXECUTE_OUTBOX_MESSAGE)),
    207: managed("smart_rollup_recover_bond", effects.smart_rollup_recover_bond),
    230: managed("dal_publish_commitment", nothing(fixed(1 + 48 + 96))),
    250: managed("zk_rollup_origination", nothing(*rollups.ZK_ORIGINATION)),
    251: managed("zk_rollup_publish", effects.zk_rollup_publish),
    252: managed("zk_rollup_update", nothing(*rollups.ZK_UPDATE)),
    255: anonymous("signature_prefix", _signature_prefix),
}

LATEST = Grammar(
    max_key_tag=4,
    kinds=_BOTH
    | {
        2: anonymous("double_consensus_operation_evidence", *evidence.DOUBLE_CONSENSUS),
        24: anonymous("dal_entrapment_evidence", *evidence.DAL_ENTRAPMENT),
        30: anonymous("preattestations_aggregate", *evidence.PREATTESTATIONS_AGGREGATE),
        31: anonymous("attestations_aggregate", *evidence.ATTESTATIONS_AGGREGATE),
        107: managed("reveal", nothing(public_key, optional_at_end(_BLS_PROOF))),
        114: managed("update_consensus_key", effects.key_update(optional_at_end(_BLS_PROOF))),
        115: managed("update_companion_key", effects.key_update(optional(_BLS_PROOF))),
    },
)
"""Protocol 025: 35 kinds. Consensus operations are no operations of a generic request."""

PROTOCOL_022 = Grammar(
    max_key_tag=3,
    kinds=_BOTH
    | {
        2: anonymous("double_attestation_evidence", *evidence.DOUBLE_ATTESTATION_022),
        7: anonymous("double_preattestation_evidence", *evidence.DOUBLE_PREATTESTATION_022),
        20: anonymous("preattestation", consensus.with_slot),
        21: anonymous("attestation", consensus.with_slot),
        23: anonymous("attestation_with_dal", consensus.with_dal),
        24: anonymous("dal_entrapment_evidence", *evidence.DAL_ENTRAPMENT_022),
        31: anonymous("attestations_aggregate", *evidence.PREATTESTATIONS_AGGREGATE),
        107: managed("reveal", nothing(public_key)),
        114: managed("update_consensus_key", effects.key_update(optional_at_end(sized(signature)))),
    },
)
"""Protocol 022: other names for accusations, no aggregate of preattestations, no companion key, no tz5."""
