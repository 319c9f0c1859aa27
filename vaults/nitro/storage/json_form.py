"""The JSON forms of records: Signatory's, ours, and the births of the keys in Signatory's file.

`enclave_keys.json` is Signatory's: public key hash and blob, nothing else, tz1 to tz4 only. Bytes are
standard base64. Source: enclave-kms-attestation §1.7, storage formats.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from signatory.crypto.curves import default_purpose
from signatory.errors import MalformedError
from signatory.tezos.keys import PublicKeyHash
from vaults.nitro.storage import record as records
from vaults.nitro.storage.record import REFERENCE_TYPES, Born, Fields, Found, SealedKey


def to_reference(key: SealedKey) -> dict[str, Any]:
    return {"public_key_hash": key.id, "encrypted_private_key": _base64(key.blob)}


def from_reference(record: Any) -> Found:
    """Raises MalformedError saying which field is wrong."""
    found = records.texts(_object(record), ("public_key_hash", "encrypted_private_key"))
    blob = _bytes("encrypted_private_key", found["encrypted_private_key"])
    return Found(reference_key("public_key_hash", found["public_key_hash"], blob))


def reference_key(name: str, text: str, blob: bytes) -> SealedKey:
    """A key of Signatory's: the hash, from the field `name`, and what KMS Encrypt gave."""
    key_hash = records.parsed(name, PublicKeyHash.parse, text)
    if key_hash.type not in REFERENCE_TYPES:
        raise MalformedError(f"{name}: only tz1 to tz4 keys belong here")
    if not blob:
        raise MalformedError("the sealed key is empty")
    return SealedKey(key_hash.text, key_hash.type, default_purpose(key_hash.type), blob)


def to_sealed(key: SealedKey) -> dict[str, Any]:
    """Raises MalformedError for a key that would not come back."""
    return _shown(records.fields_of(key))


def from_sealed(record: Any) -> Found:
    """As records.found_in."""
    return records.found_in(_fields(record))


def to_birth(key: SealedKey) -> dict[str, Any]:
    """Raises MalformedError for a birth that would not come back."""
    return _shown(records.birth_fields_of(key))


def from_birth(record: Any) -> Born:
    """Raises MalformedError saying which field is wrong."""
    return records.born_of(_fields(record))


def name_of(record: Any) -> str:
    """What a record that cannot be read calls its key, if anything; fit for a message."""
    if isinstance(record, Mapping):
        for field_name in ("key_id", "public_key_hash"):
            name = record.get(field_name)
            if isinstance(name, str) and name.isascii() and name.isprintable() and len(name) <= 64:
                return name
    return ""


def _object(record: Any) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        raise MalformedError("it is not a JSON object")
    return record


def _fields(record: Any) -> dict[str, Any]:
    """The record with bytes where they belong; a birth that is no base64 stays a text, and fails as one."""
    found = dict(_object(record))
    for name in records.BINARY:
        if isinstance(found.get(name), str):
            try:
                found[name] = _bytes(name, found[name])
            except MalformedError:
                if name == records.BLOB:
                    raise
    return found


def _bytes(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError(f"{name} is not base64") from None


def _shown(found: Fields) -> dict[str, Any]:
    return {name: _base64(value) if isinstance(value, bytes) else value for name, value in found.items()}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
