"""Public keys, their hashes, and signatures as values, with the text forms of Tezos."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from signatory.crypto.curves import LENGTHS, KeyType
from signatory.crypto.keypair import NAMES
from signatory.errors import MalformedError
from signatory.tezos import base58

HASH_SIZE = 20

TAGS = {
    KeyType.ED25519: 0,
    KeyType.SECP256K1: 1,
    KeyType.P256: 2,
    KeyType.BLS: 3,
    KeyType.MLDSA44: 4,
}
"""The tag of each family in the binary unions of Tezos."""

_TYPES = {tag: key_type for key_type, tag in TAGS.items()}
_HASH_CODES = {key_type: base58.required("hash", key_type).code for key_type in TAGS}
_KEY_CODES = {key_type: base58.required("public key", key_type).code for key_type in TAGS}
_SIGNATURE_CODES: dict[KeyType | None, bytes] = {
    key_type: base58.required("signature", key_type).code for key_type in (*TAGS, None)
}

# These two families have no Tezos form; their texts are standard base64, of lengths that no Base58 text has.
_PLAIN = (KeyType.MLDSA65, KeyType.MLDSA87)
_PLAIN_KEYS = {-(-LENGTHS[key_type].public // 3) * 4: key_type for key_type in _PLAIN}
_PLAIN_SIGNATURES = {-(-LENGTHS[key_type].signature // 3) * 4: key_type for key_type in _PLAIN}


@dataclass(frozen=True, slots=True)
class PublicKeyHash:
    """The address of an implicit account: family and 20 bytes. Raises MalformedError for anything else."""

    type: KeyType
    data: bytes

    def __post_init__(self) -> None:
        if self.type not in TAGS:
            raise MalformedError(f"{NAMES[self.type]} keys have no Tezos address")
        if len(self.data) != HASH_SIZE:
            raise MalformedError(f"a public key hash is {HASH_SIZE} bytes long, not {len(self.data)}")

    @property
    def text(self) -> str:
        """`tz1...` to `tz5...`, 36 characters."""
        return base58.encode(_HASH_CODES[self.type], self.data)

    @property
    def tag(self) -> int:
        """0 to 4, as in the binary form."""
        return TAGS[self.type]

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `tz1...` to `tz5...`. Raises MalformedError."""
        row, data = base58.decode(text)
        if row.kind != "hash" or row.type is None:
            raise MalformedError(f"this is a {row.kind}, not a public key hash")
        return cls(row.type, data)

    @classmethod
    def from_tag(cls, tag: int, data: bytes) -> Self:
        """From the parts of the binary form. Raises MalformedError for a tag without a family."""
        if tag not in _TYPES:
            raise MalformedError(f"no public key hash has the tag {tag}")
        return cls(_TYPES[tag], data)


@dataclass(frozen=True)
class PublicKey:
    """A public key in wire form. Only its length is checked here; `keypair.check_public` checks the point."""

    type: KeyType
    data: bytes

    def __post_init__(self) -> None:
        length = LENGTHS[self.type].public
        if len(self.data) != length:
            raise MalformedError(
                f"a public key of the family {NAMES[self.type]} is {length} bytes long, not {len(self.data)}"
            )

    @cached_property
    def text(self) -> str:
        """`edpk...`, `sppk...`, `p2pk...`, `BLpk...`, `mdpk...`; standard base64 for ML-DSA-65 and -87."""
        code = _KEY_CODES.get(self.type)
        return base58.encode(code, self.data) if code else _base64(self.data)

    @cached_property
    def hash(self) -> PublicKeyHash:
        """The Tezos address. Raises MalformedError for ML-DSA-65 and -87, which have none; see `id`."""
        return PublicKeyHash(self.type, self.digest)

    @cached_property
    def digest(self) -> bytes:
        """BLAKE2b-160 of the wire form: 20 bytes, for every family."""
        return hashlib.blake2b(self.data, digest_size=HASH_SIZE).digest()

    @cached_property
    def id(self) -> str:
        """The address, or `mldsa65:` / `mldsa87:` and the digest in hex."""
        if self.type in TAGS:
            return self.hash.text
        return f"{self.type.value}:{self.digest.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """From what `text` gives. Raises MalformedError."""
        if len(text) in _PLAIN_KEYS:
            return cls(_PLAIN_KEYS[len(text)], _from_base64(text))
        row, data = base58.decode(text)
        if row.kind != "public key" or row.type is None:
            raise MalformedError(f"this is a {row.kind}, not a public key")
        return cls(row.type, data)


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature in wire form; `type` is None for the generic `sig...`, which three families share."""

    type: KeyType | None
    data: bytes

    def __post_init__(self) -> None:
        length = LENGTHS[self.type].signature if self.type else 64
        if len(self.data) != length:
            name = NAMES[self.type] if self.type else "unnamed"
            raise MalformedError(
                f"a signature of the family {name} is {length} bytes long, not {len(self.data)}"
            )

    @property
    def text(self) -> str:
        """`edsig...`, `spsig1...`, `p2sig...`, `BLsig...`, `mdsig...`, `sig...`; else base64."""
        code = _SIGNATURE_CODES.get(self.type)
        return base58.encode(code, self.data) if code else _base64(self.data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From what `text` gives. Raises MalformedError."""
        if len(text) in _PLAIN_SIGNATURES:
            return cls(_PLAIN_SIGNATURES[len(text)], _from_base64(text))
        row, data = base58.decode(text)
        if row.kind != "signature":
            raise MalformedError(f"this is a {row.kind}, not a signature")
        return cls(row.type, data)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError("the text is not base64") from None
    if _base64(data) != text:
        raise MalformedError("the text is not base64 in its one canonical form")
    return data
