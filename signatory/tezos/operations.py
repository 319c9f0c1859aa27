"""The operations of a generic request: every field is walked, so that no operation hides behind another.

Source: Octez operation_repr.ml of protocol 025, and of protocol 022 for signature version 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from signatory.tezos import consensus, evidence, rollups
from signatory.tezos.fields import (
    Field,
    contract,
    dynamic,
    each,
    entrypoint,
    fixed,
    key_hash,
    manager,
    number,
    optional,
    optional_at_end,
    originated,
    public_key,
    script,
    signature,
    sized,
)
from signatory.tezos.reader import Reader, unknown_tag

BRANCH = 32

Kind = Callable[[Reader], str]
"""Passes over the fields of one operation and names it."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """The operations of a protocol by their tags, and the highest tag of a key family that it knows."""

    kinds: Mapping[int, Kind]
    max_key_tag: int


def batch(reader: Reader, grammar: Grammar) -> tuple[str, ...]:
    """The kinds of the operations after the branch, in order; none if nothing follows the branch."""
    reader.skip(BRANCH)
    kinds = grammar.kinds
    found = []
    while reader.at < reader.end:
        tag = reader.u8()
        read = kinds.get(tag)
        if read is None:
            raise unknown_tag(tag)
        found.append(read(reader))
    return tuple(found)


OWN_ENTRYPOINTS = {6: "stake", 7: "unstake", 8: "finalize_unstake", 9: "set_delegate_parameters"}
"""What a transaction to oneself is called that goes to one of these entrypoints."""


def transaction(reader: Reader) -> str:
    """Manager fields, amount, destination, and entrypoint and argument if any."""
    source = reader.at
    manager(reader)
    reader.number()
    destination = reader.at
    contract(reader)
    if not reader.boolean():
        return "transaction"
    tag = entrypoint(reader)
    script(reader)
    own = OWN_ENTRYPOINTS.get(tag, "transaction")
    return own if _same_account(reader.data, source, destination) else "transaction"


def _same_account(data: bytes, key_hash_at: int, contract_at: int) -> bool:
    return (
        data[contract_at] == 0
        and data[key_hash_at : key_hash_at + 21] == data[contract_at + 1 : contract_at + 22]
    )


BALLOTS = ("ballot:yay", "ballot:nay", "ballot:pass")


def ballot(reader: Reader) -> str:
    """Voter, period, proposal, vote."""
    key_hash(reader)
    reader.skip(4 + 32)
    vote = reader.u8()
    if vote >= len(BALLOTS):
        raise unknown_tag(vote)
    return BALLOTS[vote]


def kind(name: str, *fields: Field) -> Kind:
    """An operation with these fields and always this name."""

    def read(reader: Reader) -> str:
        for field in fields:
            field(reader)
        return name

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
    1: kind("seed_nonce_revelation", fixed(4 + 32)),
    3: kind("double_baking_evidence", *evidence.DOUBLE_BAKING),
    4: kind("activate_account", fixed(20 + 20)),
    5: kind("proposals", key_hash, fixed(4), each(fixed(32))),
    6: ballot,
    8: kind("vdf_revelation", fixed(200)),
    9: kind("drain_delegate", key_hash, key_hash, key_hash),
    17: kind("failing_noop", dynamic),
    108: transaction,
    109: kind("origination", manager, number, optional(key_hash), script, script),
    110: kind("delegation", manager, optional(key_hash)),
    111: kind("register_global_constant", manager, script),
    112: kind("set_deposits_limit", manager, optional(number)),
    113: kind("increase_paid_storage", manager, number, originated),
    158: kind("transfer_ticket", manager, script, script, contract, number, contract, dynamic),
    200: kind("smart_rollup_originate", manager, *rollups.ORIGINATE),
    201: kind("smart_rollup_add_messages", manager, *rollups.ADD_MESSAGES),
    202: kind("smart_rollup_cement", manager, *rollups.CEMENT),
    203: kind("smart_rollup_publish", manager, *rollups.PUBLISH),
    204: kind("smart_rollup_refute", manager, *rollups.REFUTE),
    205: kind("smart_rollup_timeout", manager, *rollups.TIMEOUT),
    206: kind("smart_rollup_execute_outbox_message", manager, *rollups.EXECUTE_OUTBOX_MESSAGE),
    207: kind("smart_rollup_recover_bond", manager, *rollups.RECOVER_BOND),
    230: kind("dal_publish_commitment", manager, fixed(1 + 48 + 96)),
    250: kind("zk_rollup_origination", manager, *rollups.ZK_ORIGINATION),
    251: kind("zk_rollup_publish", manager, *rollups.ZK_PUBLISH),
    252: kind("zk_rollup_update", manager, *rollups.ZK_UPDATE),
    255: kind("signature_prefix", _signature_prefix),
}

LATEST = Grammar(
    max_key_tag=4,
    kinds=_BOTH
    | {
        2: kind("double_consensus_operation_evidence", *evidence.DOUBLE_CONSENSUS),
        24: kind("dal_entrapment_evidence", *evidence.DAL_ENTRAPMENT),
        30: kind("preattestations_aggregate", *evidence.PREATTESTATIONS_AGGREGATE),
        31: kind("attestations_aggregate", *evidence.ATTESTATIONS_AGGREGATE),
        107: kind("reveal", manager, public_key, optional_at_end(_BLS_PROOF)),
        114: kind("update_consensus_key", manager, public_key, optional_at_end(_BLS_PROOF)),
        115: kind("update_companion_key", manager, public_key, optional(_BLS_PROOF)),
    },
)
"""Protocol 025: 35 kinds. Consensus operations are no operations of a generic request."""

PROTOCOL_022 = Grammar(
    max_key_tag=3,
    kinds=_BOTH
    | {
        2: kind("double_attestation_evidence", *evidence.DOUBLE_ATTESTATION_022),
        7: kind("double_preattestation_evidence", *evidence.DOUBLE_PREATTESTATION_022),
        20: kind("preattestation", consensus.with_slot),
        21: kind("attestation", consensus.with_slot),
        23: kind("attestation_with_dal", consensus.with_dal),
        24: kind("dal_entrapment_evidence", *evidence.DAL_ENTRAPMENT_022),
        31: kind("attestations_aggregate", *evidence.PREATTESTATIONS_AGGREGATE),
        107: kind("reveal", manager, public_key),
        114: kind("update_consensus_key", manager, public_key, optional_at_end(sized(signature))),
    },
)
"""Protocol 022: other names for accusations, no aggregate of preattestations, no companion key, no tz5."""
