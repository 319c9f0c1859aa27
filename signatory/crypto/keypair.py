"""One front for every key family: generate, derive, sign, verify, prove."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from signatory.crypto import bls, ecdsa, eddsa, mldsa
from signatory.crypto.curves import KeyType, Purpose, SigningVersion, default_purpose
from signatory.errors import DeniedError, MalformedError, UnavailableError

Entropy = Callable[[int], bytes]
"""Gives that many bytes of fresh randomness."""

NAMES = {
    KeyType.ED25519: "Ed25519",
    KeyType.SECP256K1: "secp256k1",
    KeyType.P256: "P-256",
    KeyType.BLS: "BLS",
    KeyType.MLDSA44: "ML-DSA-44",
    KeyType.MLDSA65: "ML-DSA-65",
    KeyType.MLDSA87: "ML-DSA-87",
}
"""What the families are called in messages to people."""

_ORDERS = {KeyType.SECP256K1: ecdsa.SECP256K1_ORDER, KeyType.P256: ecdsa.P256_ORDER}

_Private = eddsa.PrivateKey | ecdsa.Secp256k1Key | ecdsa.P256Key | bls.PrivateKey | mldsa.PrivateKey
_Checker = eddsa.Verifier | ecdsa.Secp256k1Verifier | ecdsa.P256Verifier | bls.Verifier | mldsa.Verifier


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key with its public part and its purpose; made by `generate` and `from_secret` only."""

    type: KeyType
    purpose: Purpose
    public: bytes
    """In wire form: compressed for ECDSA and BLS."""
    _key: _Private = field(repr=False, compare=False)
    _digest: Callable[[bytes], bytes] | None = field(repr=False, compare=False)

    def __reduce__(self) -> NoReturn:
        """A pickle or a copy would be one more place where the secret lies."""
        raise TypeError("a key pair can be neither pickled nor copied")

    @property
    def secret(self) -> bytes:
        """Seed (Ed25519, ML-DSA), big-endian scalar (others), or an expanded ML-DSA key without a seed."""
        return self._key.secret

    @property
    def expanded(self) -> bytes:
        """The expanded form of an ML-DSA key. Raises MalformedError for another family."""
        if isinstance(self._key, mldsa.PrivateKey):
            return self._key.expanded
        raise MalformedError(f"{NAMES[self.type]} keys have no expanded form")

    def sign(self, message: bytes, version: SigningVersion = SigningVersion.LATEST) -> bytes:
        """Sign by the rules of the key's purpose; the signature in wire form.

        Raises MalformedError for BLS with version 0; other families sign alike in every version. Raises
        DeniedError for a checkpoint key.
        """
        if self.purpose is Purpose.CHECKPOINT:
            raise DeniedError("a checkpoint key signs checkpoints and nothing else")
        key = self._key
        if isinstance(key, bls.PrivateKey):
            return key.sign(message, version)
        return key.sign(self._digest(message) if self._digest else message)

    def sign_checkpoint(self, statement: bytes) -> bytes:
        """Sign a statement of signatory.nitro.checkpoint. Raises DeniedError for a key of another purpose."""
        if self.purpose is not Purpose.CHECKPOINT or not isinstance(self._key, eddsa.PrivateKey):
            raise DeniedError("only a checkpoint key signs checkpoints")
        return self._key.sign(statement)

    def prove(self, over: bytes | None = None) -> bytes:
        """The proof of possession of a BLS key, 96 bytes, over its own public part or another BLS public key.

        Raises MalformedError for another family, or where `over` is no BLS public key.
        """
        if isinstance(self._key, bls.PrivateKey):
            return self._key.prove(over)
        raise MalformedError("Proof of possession is not supported")


class Verifier:
    """Checks the signatures of one key; prepared once. Raises MalformedError for what is not a public key."""

    __slots__ = ("_checker", "_digest")

    def __init__(self, key_type: KeyType, public: bytes, purpose: Purpose) -> None:
        self._checker = _checker(key_type, bytes(public))
        self._digest = _digest_for(key_type, purpose)

    def verify(
        self, message: bytes, signature: bytes, version: SigningVersion = SigningVersion.LATEST
    ) -> bool:
        """True for a valid signature in wire form; no signature bytes make it raise."""
        checker = self._checker
        if isinstance(checker, bls.Verifier):
            return checker.verify(message, signature, version)
        return checker.verify(self._digest(message) if self._digest else message, signature)


def generate(key_type: KeyType, purpose: Purpose, entropy: Entropy) -> KeyPair:
    """A new key. Raises MalformedError for a purpose the family cannot have; errors of `entropy` pass."""
    _check_purpose(key_type, purpose)
    secret = _take(entropy, 32)
    if key_type in _ORDERS:
        while not 0 < int.from_bytes(secret, "big") < _ORDERS[key_type]:
            secret = _take(entropy, 32)
    elif key_type is KeyType.BLS:
        secret = bls.derive(secret)
    return from_secret(key_type, secret, purpose=purpose)


def from_secret(
    key_type: KeyType, secret: bytes, *, purpose: Purpose | None = None, public: bytes | None = None
) -> KeyPair:
    """The key with this secret, in the form that `KeyPair.secret` has.

    Raises MalformedError for a wrong length, a scalar out of range, an inconsistent expanded key, a `public`
    that is not the key's own, or a purpose the family cannot have.
    """
    purpose = default_purpose(key_type) if purpose is None else purpose
    _check_purpose(key_type, purpose)
    key = _private(key_type, bytes(secret))
    if public is not None and public != key.public:
        raise MalformedError(
            f"the public part of the {NAMES[key_type]} key does not belong to its secret part"
        )
    return KeyPair(key_type, purpose, key.public, key, _digest_for(key_type, purpose))


def check_public(key_type: KeyType, data: bytes) -> None:
    """Raise MalformedError unless this is a public key: length, on the curve, in the group, not infinity."""
    _checker(key_type, data)


def check_version(key_type: KeyType, version: SigningVersion) -> None:
    """Raise MalformedError for a version of the remote-signer API that cannot sign with this family.

    BLS knows no version 0; ML-DSA-44 (tz5) is known from version 3 on, which is LATEST here.
    """
    unknown = {
        KeyType.BLS: {SigningVersion.V0},
        KeyType.MLDSA44: set(SigningVersion) - {SigningVersion.LATEST},
    }
    if version in unknown.get(key_type, ()):
        raise MalformedError(f"SigningVersion{version.value} is not supported for {NAMES[key_type]} keys")


def verify_possession(public: bytes, proof: bytes, over: bytes | None = None) -> bool:
    """True when the holder of this BLS key made the proof, over itself or over another public key.

    Raises MalformedError for what is no key.
    """
    return bls.Verifier(public).verify_possession(proof, over)


def _private(key_type: KeyType, secret: bytes) -> _Private:
    match key_type:
        case KeyType.ED25519:
            return eddsa.PrivateKey(secret)
        case KeyType.SECP256K1:
            return ecdsa.Secp256k1Key(secret)
        case KeyType.P256:
            return ecdsa.P256Key(secret)
        case KeyType.BLS:
            return bls.PrivateKey(secret)
        case KeyType.MLDSA44 | KeyType.MLDSA65 | KeyType.MLDSA87:
            return mldsa.PrivateKey(key_type, secret)


def _checker(key_type: KeyType, public: bytes) -> _Checker:
    match key_type:
        case KeyType.ED25519:
            return eddsa.Verifier(public)
        case KeyType.SECP256K1:
            return ecdsa.Secp256k1Verifier(public)
        case KeyType.P256:
            return ecdsa.P256Verifier(public)
        case KeyType.BLS:
            return bls.Verifier(public)
        case KeyType.MLDSA44 | KeyType.MLDSA65 | KeyType.MLDSA87:
            return mldsa.Verifier(key_type, public)


def _digest_for(key_type: KeyType, purpose: Purpose) -> Callable[[bytes], bytes] | None:
    """What the message goes through before it is signed; None for nothing."""
    if key_type is KeyType.BLS:
        return None
    if purpose is Purpose.TEZOS:
        return _blake2b
    return _sha256 if key_type in _ORDERS else None


def _check_purpose(key_type: KeyType, purpose: Purpose) -> None:
    if purpose is Purpose.CHECKPOINT and key_type is not KeyType.ED25519:
        raise MalformedError("a checkpoint key is an Ed25519 key")
    if purpose is Purpose.TEZOS and key_type in {KeyType.MLDSA65, KeyType.MLDSA87}:
        raise MalformedError(
            f"{NAMES[key_type]} keys cannot sign for Tezos: only ML-DSA-44 has a Tezos form",
            hint="give the key the purpose raw, or make an ML-DSA-44 key",
        )


def _take(entropy: Entropy, size: int) -> bytes:
    data = entropy(size)
    if len(data) != size:
        raise UnavailableError(f"the entropy source gave {len(data)} bytes where {size} were asked for")
    return data


def _blake2b(message: bytes) -> bytes:
    return hashlib.blake2b(message, digest_size=32).digest()


def _sha256(message: bytes) -> bytes:
    return hashlib.sha256(message).digest()
