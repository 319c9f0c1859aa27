"""Hybrid public key encryption: what only one connection of one enclave can open.

RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; the encapsulated key stands before
the ciphertext. Everything that must fit goes into `info`.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from signatory.errors import IntegrityError, MalformedError

PUBLIC = 32
"""Bytes of a public key."""
OVERHEAD = PUBLIC + 16
"""Bytes that a sealed message is longer than its plaintext."""

_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def seal(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Encrypt to a 32-byte X25519 key. Raises MalformedError for what is no such key."""
    try:
        return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public), info)
    except ValueError:
        raise MalformedError("this is not an X25519 public key") from None


def open_sealed(private: X25519PrivateKey, sealed: bytes, info: bytes) -> bytes:
    """Decrypt. Raises IntegrityError, the same one for every reason."""
    try:
        return _SUITE.decrypt(sealed, private, info)
    except (InvalidTag, ValueError, TypeError):
        raise IntegrityError("this was not sealed to the key of this connection, for this use") from None
