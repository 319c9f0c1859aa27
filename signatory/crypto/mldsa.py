"""ML-DSA (FIPS 204), pure, empty context, hedged. A private key is a 32-byte seed, or its expanded form.

An expanded key holds no seed and none can be computed from it; such a key stays expanded.
"""

from typing import Final

from Crypto.PublicKey import MLDSA
from Crypto.Signature import mldsa

from signatory.crypto.curves import LENGTHS, KeyType
from signatory.errors import MalformedError

SETS: Final = {
    KeyType.MLDSA44: MLDSA.ParamSet.ML_DSA_44,
    KeyType.MLDSA65: MLDSA.ParamSet.ML_DSA_65,
    KeyType.MLDSA87: MLDSA.ParamSet.ML_DSA_87,
}


class PrivateKey:
    """A key made from its seed or its expanded form, told apart by length, else MalformedError."""

    __slots__ = ("_scheme", "expanded", "public", "secret")

    def __init__(self, key_type: KeyType, secret: bytes) -> None:
        name, lengths = SETS[key_type].value, LENGTHS[key_type]
        if len(secret) not in {lengths.secret, lengths.expanded}:
            raise MalformedError(
                f"an {name} secret key is a seed of {lengths.secret} bytes or an expanded key of "
                f"{lengths.expanded}, not {len(secret)} bytes"
            )
        key = _from_seed(key_type, secret) if len(secret) == lengths.secret else _expanded(key_type, secret)
        self.secret = bytes(secret)
        self.expanded = bytes(key.sk)
        self.public = bytes(key.pk)
        self._scheme = mldsa.new(key)

    def sign(self, message: bytes) -> bytes:
        """A signature of the message as given; another one each time."""
        return self._scheme.sign(message)


class Verifier:
    """Checks signatures of one public key. Raises MalformedError for what is not a public key."""

    __slots__ = ("_scheme",)

    def __init__(self, key_type: KeyType, public: bytes) -> None:
        check_public(key_type, public)
        self._scheme = mldsa.new(MLDSA.construct(param_set=SETS[key_type], pk=public))

    def verify(self, message: bytes, signature: bytes) -> bool:
        """True for a valid signature."""
        try:
            self._scheme.verify(message, signature)
        except ValueError:
            return False
        return True


def check_public(key_type: KeyType, public: bytes) -> None:
    """Raise MalformedError for a wrong length; every other encoding is a public key."""
    name, length = SETS[key_type].value, LENGTHS[key_type].public
    if len(public) != length:
        raise MalformedError(f"an {name} public key is {length} bytes long, not {len(public)}")


def _from_seed(key_type: KeyType, seed: bytes) -> MLDSA.MLDSAKey:
    return MLDSA.construct(param_set=SETS[key_type], seed=seed)


def _expanded(key_type: KeyType, secret: bytes) -> MLDSA.MLDSAKey:
    try:
        return MLDSA.construct(param_set=SETS[key_type], sk=secret)
    except ValueError:
        raise MalformedError(
            f"the expanded {SETS[key_type].value} key contradicts itself: its parts do not belong together"
        ) from None
