"""BLS12-381, minimal public keys: 48 bytes in G1, signatures of 96 bytes in G2. No digest is taken.

Version 1 signs `public key || message` (augmentation), version 2 and later sign the message (proof of
possession scheme), version 0 does not exist. Sources: draft-irtf-cfrg-bls-signature-05; the enclave protocol.
"""

import hashlib
import hmac
from functools import cache

import pyblst

from signatory.crypto.curves import SigningVersion
from signatory.errors import MalformedError

ORDER = 0x73EDA753_299D7D48_3339D808_09A1D805_53BDA402_FFFE5BFE_FFFFFFFF_00000001

DST_AUGMENTED = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_AUG_"
DST_PLAIN = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
DST_POSSESSION = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"

_GENERATOR = bytes.fromhex(
    "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
)
_INFINITY = 0x40  # flag in the first byte of a compressed point


class PrivateKey:
    """A key made from its 32-byte big-endian scalar. Raises MalformedError unless 0 < scalar < order."""

    __slots__ = ("_scalar", "public", "secret")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != 32:
            raise MalformedError(f"a BLS secret key is 32 bytes long, not {len(secret)}")
        scalar = int.from_bytes(secret, "big")
        if scalar == 0:
            raise MalformedError("the BLS secret key is zero")
        if scalar >= ORDER:
            raise MalformedError("the BLS secret key is not below the order of the group")
        self.secret = bytes(secret)
        self._scalar = scalar
        self.public: bytes = _generator().scalar_mul(scalar).compress()

    def sign(self, message: bytes, version: SigningVersion) -> bytes:
        """The 96-byte signature. Raises MalformedError for version 0."""
        return self._sign(*_scheme(self.public, message, version))

    def prove(self, over: bytes | None = None) -> bytes:
        """The 96-byte proof of possession over the key's own public part.

        `over` is another public key in its place, an aggregate's; who may choose it freely can pass keys off
        as his own. Raises MalformedError where it is none.
        """
        if over is not None:
            _public_point(over)
        return self._sign(self.public if over is None else over, DST_POSSESSION)

    def _sign(self, message: bytes, dst: bytes) -> bytes:
        signature: bytes = _hash(message, dst).scalar_mul(self._scalar).compress()
        return signature


class Verifier:
    """Checks signatures of one public key. Raises MalformedError for what is not a public key."""

    __slots__ = ("_point", "_public")

    def __init__(self, public: bytes) -> None:
        self._point = _public_point(public)
        self._public = public

    def verify(self, message: bytes, signature: bytes, version: SigningVersion) -> bool:
        """True for a valid signature; infinity and points outside the group are never valid."""
        if version is SigningVersion.V0:
            return False
        return self._verify(*_scheme(self._public, message, version), signature)

    def verify_possession(self, proof: bytes, over: bytes | None = None) -> bool:
        """True when the holder of this key made the proof, over its own public part or over another key."""
        return self._verify(self._public if over is None else over, DST_POSSESSION, proof)

    def _verify(self, message: bytes, dst: bytes, signature: bytes) -> bool:
        if len(signature) != 96 or signature[0] & _INFINITY:
            return False
        try:
            point = pyblst.BlstP2Element().uncompress(signature)
        except ValueError:
            return False
        left = pyblst.miller_loop(self._point, _hash(message, dst))
        return bool(pyblst.final_verify(left, pyblst.miller_loop(_generator(), point)))


def derive(material: bytes) -> bytes:
    """The 32-byte big-endian scalar by the IETF KeyGen of draft 4 and later, with empty key_info.

    Raises MalformedError for less than 32 bytes of material.
    """
    if len(material) < 32:
        raise MalformedError(f"BLS key material is at least 32 bytes long, not {len(material)}")
    salt, scalar = b"BLS-SIG-KEYGEN-SALT-", 0
    while scalar == 0:
        salt = hashlib.sha256(salt).digest()
        scalar = int.from_bytes(_hkdf(salt, material + b"\0", b"\0\x30"), "big") % ORDER
    return scalar.to_bytes(32, "big")


def _hkdf(salt: bytes, material: bytes, info: bytes) -> bytes:
    key = hmac.digest(salt, material, "sha256")
    first = hmac.digest(key, info + b"\1", "sha256")
    return (first + hmac.digest(key, first + info + b"\2", "sha256"))[:48]


def _scheme(public: bytes, message: bytes, version: SigningVersion) -> tuple[bytes, bytes]:
    if version is SigningVersion.V0:
        raise MalformedError("SigningVersion0 is not supported for BLS keys")
    if version is SigningVersion.V1:
        return public + message, DST_AUGMENTED
    return message, DST_PLAIN


def _public_point(public: bytes) -> pyblst.BlstP1Element:
    if len(public) != 48:
        raise MalformedError(f"a BLS public key is 48 bytes long, not {len(public)}")
    if public[0] & _INFINITY:
        raise MalformedError("the BLS public key is the point at infinity")
    try:
        return pyblst.BlstP1Element().uncompress(public)
    except ValueError:
        raise MalformedError("the BLS public key is not a point of the prime-order group") from None


def _hash(message: bytes, dst: bytes) -> pyblst.BlstP2Element:
    return pyblst.BlstP2Element().hash_to_group(message, dst)


@cache
def _generator() -> pyblst.BlstP1Element:
    # Not at import: without ADX the process dies in the library's first call, and selftest says so before.
    return pyblst.BlstP1Element().uncompress(_GENERATOR)
