"""The names of requests and operations in configurations: the current ones and the old.

Source: signatory-compat §2 and §4.3.
"""

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
