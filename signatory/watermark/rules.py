"""The high watermark: what may still be signed after what was signed. Source: signatory-compat §5.

A mark belongs to a key, a chain and a slot. The caller makes the answer of `advance` durable before it asks
a vault to sign.
"""

from dataclasses import dataclass

from signatory.errors import WatermarkError

SLOTS = {
    "block": "block",
    "preattestation": "preattestation",
    "attestation": "attestation",
    "attestation_with_dal": "attestation",
}
"""The slot of each request kind that has a watermark; both forms of an attestation share one."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a slot stands: level, round, and BLAKE2b-256 of the whole request that put it there.

    `hash` is None where the store does not know it: in records written by hand or migrated from old formats.
    """

    level: int
    round: int
    hash: bytes | None = None

    def __str__(self) -> str:
        return f"level {self.level} round {self.round}"


class DoubleSignError(WatermarkError):
    """The proposed mark is not above the stored one."""

    def __init__(self, stored: Mark, proposed: Mark) -> None:
        super().__init__(
            f"{proposed} is not above {stored}",
            hint="something was signed there already; never lower a mark unless nothing was",
        )
        self.stored = stored
        self.proposed = proposed


def slot_of(kind: str) -> str | None:
    """The slot that a request of this kind advances; None for kinds without a watermark: generic, pack."""
    return SLOTS.get(kind)


def advance(stored: Mark | None, proposed: Mark) -> Mark:
    """Return the mark to store, or raise DoubleSignError.

    The very same request may be signed again: same level, round and known hash. A mark never moves down.
    """
    if stored is None or (proposed.level, proposed.round) > (stored.level, stored.round):
        return proposed
    if proposed == stored and stored.hash is not None:
        return stored
    raise DoubleSignError(stored, proposed)
