"""Who may have what signed: one answer for one request, with the rule that decided.

Source: signatory-compat §1.3 and §2. The order of the checks and their texts are Signatory's; clients and
dashboards depend on both.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from signatory.tezos.keys import PublicKey
from signatory.tezos.requests import SignRequest

REQUEST_KINDS = ("attestation", "attestation_with_dal", "block", "generic", "pack", "preattestation")
"""What a request can be, sorted."""

REQUEST_ALIASES = {"endorsement": "attestation", "preendorsement": "preattestation"}
"""Old names of request kinds, still accepted in configurations."""

OPERATION_KINDS = (
    "activate_account",
    "attestations_aggregate",
    "ballot",
    "dal_entrapment_evidence",
    "dal_publish_commitment",
    "delegation",
    "double_baking_evidence",
    "double_consensus_operation_evidence",
    "drain_delegate",
    "failing_noop",
    "finalize_unstake",
    "increase_paid_storage",
    "origination",
    "preattestations_aggregate",
    "proposals",
    "register_global_constant",
    "reveal",
    "seed_nonce_revelation",
    "set_delegate_parameters",
    "set_deposits_limit",
    "signature_prefix",
    "smart_rollup_add_messages",
    "smart_rollup_cement",
    "smart_rollup_execute_outbox_message",
    "smart_rollup_originate",
    "smart_rollup_publish",
    "smart_rollup_recover_bond",
    "smart_rollup_refute",
    "smart_rollup_timeout",
    "stake",
    "transaction",
    "transfer_ticket",
    "unstake",
    "update_companion_key",
    "update_consensus_key",
    "vdf_revelation",
    "zk_rollup_origination",
    "zk_rollup_publish",
    "zk_rollup_update",
)
"""What a generic request can hold: 35 kinds of protocol 025 and four transactions to oneself; sorted."""

OPERATION_ALIASES = {
    "endorsement": "attestation",
    "preendorsement": "preattestation",
    "double_attestation_evidence": "double_consensus_operation_evidence",
    "double_endorsement_evidence": "double_consensus_operation_evidence",
    "double_preattestation_evidence": "double_consensus_operation_evidence",
    "double_preendorsement_evidence": "double_consensus_operation_evidence",
}
"""Old names of operation kinds, still accepted in configurations.

An attestation inside a generic request exists only in the grammar of signature version 1.
"""

BALLOTS = frozenset({"ballot:nay", "ballot:pass", "ballot:yay"})
"""What requests hold; `ballot` in a policy means all three."""


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """What one key may sign. None for chains or clients means any; an empty set means none."""

    requests: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()
    allowed_chains: frozenset[str] | None = None
    authorized_keys: frozenset[str] | None = None
    """Hashes of client keys, `tz1...`."""
    allow_proof_of_possession: bool = False
    log_payloads: bool = False


DEFAULT_KEY_POLICY = KeyPolicy(requests=frozenset({"block", "preattestation", "attestation"}))
"""What a key listed without settings may sign: consensus, no operations."""


@dataclass(frozen=True, slots=True)
class Policy:
    """An immutable snapshot: a policy for each listed key hash, and the keys of the known clients.

    `clients` is None where clients need not authenticate; an empty tuple lets nobody in.
    """

    keys: Mapping[str, KeyPolicy]
    clients: tuple[PublicKey, ...] | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: the address of the connection, and the hash of the key it proved to hold, if any."""

    source: str
    key_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `rule` is the configuration path below `tezos.<key>` that decided, empty if none did.

    `message` is for the client, empty when allowed. `violation` is the label of the metric, empty where
    Signatory counts none: for a chain, and for a key that is not listed.
    """

    allowed: bool
    rule: str
    message: str = ""
    violation: str = ""


def listed(policy: Policy, pkh: str) -> Decision:
    """Whether the key may sign anything at all; asked before the request is even parsed."""
    if pkh in policy.keys:
        return Decision(allowed=True, rule="")
    return Decision(allowed=False, rule="", message=f"{pkh} is not listed in config")


def evaluate(policy: Policy, pkh: str, request: SignRequest, client: Client) -> Decision:
    """Decide one request for the key `pkh`: listed, chain, client, request kind, operations, in this order.

    A generic request without operations is allowed wherever generic requests are.
    """
    key = policy.keys.get(pkh)
    if key is None:
        return listed(policy, pkh)
    chain = request.chain_id
    if chain is not None and key.allowed_chains is not None and chain not in key.allowed_chains:
        return _refused("allowed_chains", f"chain `{chain}' is not allowed")
    if key.authorized_keys is not None and client.key_hash not in key.authorized_keys:
        return _unknown_client(client)
    if request.kind not in key.requests:
        return _refused("allow", f"request kind `{request.kind}' is not allowed", request.kind)
    return _operations(key, request)


def _operations(key: KeyPolicy, request: SignRequest) -> Decision:
    for operation in request.operations:
        if operation not in key.operations and not (operation in BALLOTS and "ballot" in key.operations):
            return _refused("allow.generic", f"operation `{operation}' is not allowed", operation)
    return Decision(allowed=True, rule="allow.generic" if request.operations else "allow")


def _unknown_client(client: Client) -> Decision:
    if client.key_hash is None:
        return _refused("authorized_keys", "authentication required", "authentication")
    return _refused("authorized_keys", f"client `{client.key_hash}' is not allowed", "authentication")


def _refused(rule: str, message: str, violation: str = "") -> Decision:
    return Decision(allowed=False, rule=rule, message=message, violation=violation)
