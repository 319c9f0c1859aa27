"""Ed25519 over libsodium (RFC 8032, pure); the message is signed as given."""

from nacl import bindings
from nacl.exceptions import CryptoError

from signatory.errors import MalformedError


class PrivateKey:
    """An Ed25519 key made from its 32-byte seed. Raises MalformedError for another length."""

    __slots__ = ("_expanded", "public", "secret")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise MalformedError(f"an Ed25519 secret key is a seed of 32 bytes, not {len(seed)}")
        self.secret = bytes(seed)
        self.public: bytes
        self._expanded: bytes
        self.public, self._expanded = bindings.crypto_sign_seed_keypair(self.secret)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature R || S."""
        return bytes(bindings.crypto_sign(message, self._expanded)[:64])


class Verifier:
    """Checks signatures of one public key. Raises MalformedError for what is not a public key."""

    __slots__ = ("_public",)

    def __init__(self, public: bytes) -> None:
        check_public(public)
        self._public = public

    def verify(self, message: bytes, signature: bytes) -> bool:
        """True for a valid signature; strict: S below the group order, no points of small order."""
        if len(signature) != 64:
            return False
        try:
            bindings.crypto_sign_open(signature + message, self._public)
        except CryptoError:
            return False
        return True


def check_public(public: bytes) -> None:
    """Raise MalformedError unless the bytes are a point of the prime-order group in canonical form."""
    if len(public) != 32:
        raise MalformedError(f"an Ed25519 public key is 32 bytes long, not {len(public)}")
    if not bindings.crypto_core_ed25519_is_valid_point(public):
        raise MalformedError("the Ed25519 public key is not a point of the prime-order group")
