"""Checkpoints: an enclave's word that a chain had come to a head, at a place in a sequence.

What is signed starts with a tag of its own, so it is no message of any other protocol, and the key that signs
it signs nothing else (Purpose.CHECKPOINT).
"""

from dataclasses import dataclass

from signatory.errors import MalformedError
from signatory.nitro import strict

TAG = b"signatory-vault/checkpoint/v1\0"
DIGEST = 32
MAX_SEQUENCE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`digest` is the 32-byte head of the caller's chain. Raises MalformedError for other shapes."""

    sequence: int
    digest: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.sequence <= MAX_SEQUENCE:
            raise MalformedError(f"the sequence of a checkpoint is from 0 to {MAX_SEQUENCE}")
        if len(self.digest) != DIGEST:
            raise MalformedError(f"the digest of a checkpoint is {DIGEST} bytes long, not {len(self.digest)}")

    def statement(self) -> bytes:
        """The bytes that are signed: the tag, then [sequence, digest] as deterministic CBOR."""
        return TAG + strict.encode([self.sequence, self.digest])
