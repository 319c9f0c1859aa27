"""ECDSA over a 32-byte digest, deterministic by RFC 6979 with HMAC-SHA256; a signature is r || s, 64 bytes.

secp256k1 signatures are low-S and a high S is refused; P-256 signatures stay as they come and both halves
verify. Sources: RFC 6979; the enclave protocol, digest rules.
"""

import coincurve
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from signatory.errors import MalformedError

SECP256K1_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
P256_ORDER = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551

# The digest is BLAKE2b-256 or SHA-256: 32 bytes either way. SHA256 here names the length and the HMAC.
_PREHASHED = Prehashed(SHA256())
_SIGN = ec.ECDSA(_PREHASHED, deterministic_signing=True)
_VERIFY = ec.ECDSA(_PREHASHED)


class Secp256k1Key:
    """A secp256k1 key made from its 32-byte big-endian scalar. Raises MalformedError for what is not one."""

    __slots__ = ("_key", "public", "secret")

    def __init__(self, secret: bytes) -> None:
        _scalar(secret, SECP256K1_ORDER, "secp256k1")
        self.secret = bytes(secret)
        self._key = coincurve.PrivateKey(self.secret)
        self.public: bytes = self._key.public_key.format(compressed=True)

    def sign(self, digest: bytes) -> bytes:
        """The 64-byte low-S signature of a 32-byte digest."""
        return self._key.sign_recoverable(digest, hasher=None)[:64]


class P256Key:
    """A P-256 key made from its 32-byte big-endian scalar. Raises MalformedError for what is not one."""

    __slots__ = ("_key", "public", "secret")

    def __init__(self, secret: bytes) -> None:
        scalar = _scalar(secret, P256_ORDER, "P-256")
        self.secret = bytes(secret)
        self._key = ec.derive_private_key(scalar, ec.SECP256R1())
        public = self._key.public_key()
        self.public = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    def sign(self, digest: bytes) -> bytes:
        """The 64-byte signature of a 32-byte digest; S may be high."""
        r, s = decode_dss_signature(self._key.sign(digest, _SIGN))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class Secp256k1Verifier:
    """Checks signatures of one public key. Raises MalformedError for what is not a public key."""

    __slots__ = ("_key",)

    def __init__(self, public: bytes) -> None:
        _check_compressed(public, "secp256k1")
        try:
            self._key = coincurve.PublicKey(public)
        except ValueError:
            raise _not_on_curve("secp256k1") from None

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """True for a valid low-S signature."""
        return len(signature) == 64 and self._key.verify(_der(signature), digest, hasher=None)


class P256Verifier:
    """Checks signatures of one public key. Raises MalformedError for what is not a public key."""

    __slots__ = ("_key",)

    def __init__(self, public: bytes) -> None:
        _check_compressed(public, "P-256")
        try:
            self._key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        except ValueError:
            raise _not_on_curve("P-256") from None

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """True for a valid signature."""
        if len(signature) != 64:
            return False
        try:
            self._key.verify(_der(signature), digest, _VERIFY)
        except InvalidSignature:
            return False
        return True


def _scalar(secret: bytes, order: int, curve: str) -> int:
    if len(secret) != 32:
        raise MalformedError(f"a {curve} secret key is 32 bytes long, not {len(secret)}")
    scalar = int.from_bytes(secret, "big")
    if scalar == 0:
        raise MalformedError(f"the {curve} secret key is zero")
    if scalar >= order:
        raise MalformedError(f"the {curve} secret key is not below the order of the curve")
    return scalar


def _check_compressed(public: bytes, curve: str) -> None:
    if len(public) != 33:
        raise MalformedError(f"a {curve} public key is 33 bytes long (compressed), not {len(public)}")
    if public[0] not in {2, 3}:
        raise MalformedError(f"a {curve} public key begins with 02 or 03, not {public[0]:02x}")


def _not_on_curve(curve: str) -> MalformedError:
    return MalformedError(f"the {curve} public key is not a point of the curve")


def _der(signature: bytes) -> bytes:
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return encode_dss_signature(r, s)
