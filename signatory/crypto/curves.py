"""The key families, the lengths of their parts, and what a key is for."""

from dataclasses import dataclass
from enum import Enum, IntEnum


class KeyType(Enum):
    """A key family; the value is the name that configuration and commands use."""

    ED25519 = "ed25519"
    SECP256K1 = "secp256k1"
    P256 = "p256"
    BLS = "bls"
    MLDSA44 = "mldsa44"
    MLDSA65 = "mldsa65"
    MLDSA87 = "mldsa87"


class Purpose(Enum):
    """What a key signs; fixed at its birth, never changed.

    A TEZOS key signs by the digest rules of Tezos. A RAW key signs the message as given. One key never does
    both: a raw signature over a 32-byte digest would be a Tezos signature past every policy. A CHECKPOINT key
    signs the enclave's own checkpoints and no message of anybody's.
    """

    TEZOS = "tezos"
    RAW = "raw"
    CHECKPOINT = "checkpoint"


class SigningVersion(IntEnum):
    """The signature versions of the remote-signer API; the value is what travels to the enclave."""

    V0 = 0
    V1 = 1
    V2 = 2
    LATEST = 255


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths in bytes of the wire forms. `expanded` is 0 where a private key has only one form."""

    public: int
    secret: int
    signature: int
    expanded: int = 0


LENGTHS = {
    KeyType.ED25519: Lengths(public=32, secret=32, signature=64),
    KeyType.SECP256K1: Lengths(public=33, secret=32, signature=64),
    KeyType.P256: Lengths(public=33, secret=32, signature=64),
    KeyType.BLS: Lengths(public=48, secret=32, signature=96),
    KeyType.MLDSA44: Lengths(public=1312, secret=32, signature=2420, expanded=2560),
    KeyType.MLDSA65: Lengths(public=1952, secret=32, signature=3309, expanded=4032),
    KeyType.MLDSA87: Lengths(public=2592, secret=32, signature=4627, expanded=4896),
}

WIRE_NAMES = {
    KeyType.SECP256K1: "Secp256k1",
    KeyType.P256: "NistP256",
    KeyType.ED25519: "Ed25519",
    KeyType.BLS: "Bls",
    KeyType.MLDSA44: "MlDsa44",
    KeyType.MLDSA65: "MlDsa65",
    KeyType.MLDSA87: "MlDsa87",
}
"""The families on the wire and in sealed records; the first four names are the reference's, the rest ours."""

BY_WIRE_NAME = {name: key_type for key_type, name in WIRE_NAMES.items()}

MLDSA = frozenset({KeyType.MLDSA44, KeyType.MLDSA65, KeyType.MLDSA87})
"""The families whose private key has a seed form and an expanded form."""


def default_purpose(key_type: KeyType) -> Purpose:
    """The purpose of a key for which nobody named one, and of every key of the reference protocol."""
    return Purpose.RAW if key_type in {KeyType.MLDSA65, KeyType.MLDSA87} else Purpose.TEZOS
