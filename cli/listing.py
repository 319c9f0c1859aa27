"""The block that `list` and `generate` print for a key, as Signatory prints it."""

from collections.abc import Iterable

from signatory.policy.values import KeyPolicy, Policy
from signatory.vault import VaultKey

COLUMN = 27
"""Characters before the value: the longest label, its colon and one space."""


def block(key: VaultKey, vault_label: str, policy: Policy) -> str:
    """The lines of one key and the empty line after it."""
    rows = [
        ("Public Key Hash", key.id),
        ("Public Key", key.public_key.text),
        ("Reference", key.reference),
        ("Vault", vault_label),
        ("Active", _flag(key.id in policy.keys)),
    ]
    if key.id in policy.keys:
        rows += _allowed(policy.keys[key.id])
    return "".join(f"{label + ':':<{COLUMN}}{value}\n" for label, value in rows) + "\n"


def _allowed(policy: KeyPolicy) -> list[tuple[str, str]]:
    return [
        ("Allowed Requests", _names(policy.requests)),
        ("Allowed Operations", _names(policy.operations)),
        ("Allow Proof of Possession", _flag(policy.allow_proof_of_possession)),
    ]


def _names(names: Iterable[str]) -> str:
    return f"[{' '.join(sorted(names))}]"


def _flag(value: bool) -> str:
    return "true" if value else "false"
