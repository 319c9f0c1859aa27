"""Sealed keys as they are stored: values, and the two JSON forms of one record.

`enclave_keys.json` is Signatory's: public key hash and blob, nothing else, tz1 to tz4 only. A record of
`sealed_keys.json` describes itself: version, key id, type, purpose, public key, scheme and KMS key. Source:
enclave-kms-attestation, storage formats; design, key stores.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from signatory.crypto.curves import KeyType, Purpose, default_purpose
from signatory.errors import MalformedError
from signatory.tezos.keys import TAGS, PublicKey, PublicKeyHash

VERSION = 1
KMS_ENCRYPT = "kms-encrypt-v0"
"""The scheme of the reference: what KMS Encrypt gives for the key as CBOR, without an encryption context."""

REFERENCE_TYPES = frozenset(TAGS) - {KeyType.MLDSA44}
"""The families that Signatory reads; it fails on any other record."""


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A key that only the enclave can open. `public` is None where the record names a hash alone."""

    id: str
    type: KeyType
    purpose: Purpose
    blob: bytes = field(repr=False)
    public: PublicKey | None = None
    kms_key_arn: str = ""
    """The KMS key that seals it, as the configuration named it; empty where the record does not say."""
    scheme: str = KMS_ENCRYPT

    @property
    def is_reference(self) -> bool:
        """Whether it belongs in Signatory's file."""
        return self.type in REFERENCE_TYPES and self.purpose is Purpose.TEZOS and self.scheme == KMS_ENCRYPT


@dataclass(frozen=True, slots=True)
class Stock:
    """What a store holds: the keys in its order, and a sentence for each record that had to be left out."""

    keys: tuple[SealedKey, ...] = ()
    problems: tuple[str, ...] = ()


def to_reference(key: SealedKey) -> dict[str, Any]:
    return {"public_key_hash": key.id, "encrypted_private_key": _base64(key.blob)}


def from_reference(record: Any) -> SealedKey:
    """Raises MalformedError saying which field is wrong."""
    found = _fields(record, ("public_key_hash", "encrypted_private_key"))
    try:
        key_hash = PublicKeyHash.parse(found["public_key_hash"])
    except MalformedError as error:
        raise MalformedError(f"public_key_hash: {error.message}") from error
    if key_hash.type not in REFERENCE_TYPES:
        raise MalformedError("public_key_hash: only tz1 to tz4 keys belong in this file")
    blob = _blob("encrypted_private_key", found["encrypted_private_key"])
    return SealedKey(key_hash.text, key_hash.type, default_purpose(key_hash.type), blob)


def to_sealed(key: SealedKey) -> dict[str, Any]:
    """Raises MalformedError for a key without its public part."""
    if key.public is None:
        raise MalformedError(f"{key.id} cannot be stored without its public key")
    return {
        "version": VERSION,
        "key_id": key.id,
        "key_type": key.type.value,
        "purpose": key.purpose.value,
        "public_key": key.public.text,
        "scheme": key.scheme,
        "kms_key_arn": key.kms_key_arn,
        "sealed_key": _base64(key.blob),
    }


def from_sealed(record: Any) -> SealedKey:
    """Raises MalformedError saying which field is wrong, also for a version or a scheme of later releases."""
    if not isinstance(record, Mapping) or type(record.get("version")) is not int:
        raise MalformedError("version is missing or no number")
    if record["version"] != VERSION:
        raise MalformedError(
            f"version {record['version']} is not known to this release, which knows {VERSION}"
        )
    names = ("key_id", "key_type", "purpose", "public_key", "scheme", "kms_key_arn", "sealed_key")
    found = _fields(record, names)
    public = _read("public_key", PublicKey.parse, found["public_key"])
    if public.type is not _read("key_type", KeyType, found["key_type"]):
        raise MalformedError("key_type is not that of the public key")
    if public.id != found["key_id"]:
        raise MalformedError("key_id does not belong to the public key")
    if found["scheme"] != KMS_ENCRYPT:
        raise MalformedError(f"scheme {found['scheme']!r} is not known to this release")
    purpose = _read("purpose", Purpose, found["purpose"])
    due = default_purpose(public.type)
    if purpose is not due:
        # The sealed bytes do not say a purpose, and the enclave signs by the one of the family.
        raise MalformedError(f"purpose: {KMS_ENCRYPT} seals {public.type.value} keys as {due.value} only")
    blob = _blob("sealed_key", found["sealed_key"])
    return SealedKey(public.id, public.type, purpose, blob, public, found["kms_key_arn"], found["scheme"])


def name_of(record: Any) -> str:
    """What a record that cannot be read calls its key, if anything; fit for a message."""
    if isinstance(record, Mapping):
        for field_name in ("key_id", "public_key_hash"):
            name = record.get(field_name)
            if isinstance(name, str) and name.isascii() and name.isprintable() and len(name) <= 64:
                return name
    return ""


def _fields(record: Any, names: Sequence[str]) -> dict[str, str]:
    if not isinstance(record, Mapping):
        raise MalformedError("it is not a JSON object")
    for name in names:
        if not isinstance(record.get(name), str):
            raise MalformedError(f"{name} is missing or no text")
    return {name: record[name] for name in names}


def _read(name: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except MalformedError as error:
        raise MalformedError(f"{name}: {error.message}") from error
    except ValueError:
        raise MalformedError(f"{name}: {text[:40]!r} is not known to this release") from None


def _blob(name: str, text: str) -> bytes:
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError(f"{name} is not base64") from None
    if not blob:
        raise MalformedError(f"{name} is empty")
    return blob


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
