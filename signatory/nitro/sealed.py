"""Sealed records: a private key under a data key that only an attested enclave gets from KMS.

A record describes itself and all of it is authenticated: AES-256-GCM under a key derived for this record
alone, with the header as associated data, and a commitment to the data key beside it (AES-GCM alone would let
two keys open one ciphertext). The header says whose key it is; the caller says so too, and `check` compares.
Schemes: the reference's `kms-encrypt-v0` has no record, its blob is what KMS Encrypt gave.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import fields as parts
from enum import Enum
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from signatory.crypto.curves import BY_WIRE_NAME, LENGTHS, WIRE_NAMES, KeyType, Purpose
from signatory.errors import IntegrityError, MalformedError
from signatory.nitro import fields, strict
from signatory.nitro.arn import Arn

TYPE = "signatory-vault/sealed/v1"
DATA_KEY = 32
NONCE = 12
MAX_RECORD = 24 * 1024
"""Bytes; an expanded ML-DSA-87 key with its public key needs some 8,000."""
MAX_VERSION = 2**32 - 1

_USER_ID = re.compile(r"[A-Za-z0-9._:@/+=-]{1,256}")
_KEY_ID = re.compile(r"[A-Za-z0-9:]{1,64}")
_DATA_KEY_ID = re.compile(r"envelope:[0-9a-f]{32}")
_COMMITMENT = 32


class Scheme(Enum):
    """How a key is sealed; the value is the name in settings, records and statements."""

    KMS_ENCRYPT = "kms-encrypt-v0"
    """The reference's: KMS Encrypt over the key, no context. No attestation guards the sealing."""
    KMS_GDK = "kms-gdk-v1"
    """A data key of KMS for this key alone, obtained under attestation."""
    KMS_ENVELOPE = "kms-envelope-v1"
    """A data key of KMS for all keys that one enclave makes for one owner, obtained under attestation."""


@dataclass(frozen=True, slots=True)
class KeyName:
    """Which key a record must hold: all of it is authenticated, and said by the caller too."""

    key_id: str
    key_type: KeyType
    purpose: Purpose
    public: bytes
    version: int = 1
    """Counts up each time the same key is sealed anew."""
    user_id: str | None = None
    """The tenant that owns the key; None for a key without one."""


@dataclass(frozen=True, slots=True)
class Record:
    """A sealed key. `data_key_id` is the key's own id (gdk), or `envelope:` and 32 hex digits."""

    scheme: Scheme
    name: KeyName
    kms_key: Arn
    data_key_id: str
    wrapped: bytes
    """The data key as KMS gave it, for KMS Decrypt."""
    nonce: bytes
    commitment: bytes
    ciphertext: bytes = field(repr=False)

    @property
    def context(self) -> Mapping[str, str]:
        """The encryption context of the data key: exactly one entry."""
        return context_of(self.name.user_id, self.data_key_id)


def context_of(user_id: str | None, data_key_id: str) -> Mapping[str, str]:
    """`{user_id}` where a tenant owns the key, `{key_id}` otherwise."""
    return {"key_id": data_key_id} if user_id is None else {"user_id": user_id}


def check_user_id(text: str) -> str:
    """The id of a tenant: 1 to 256 of letters, digits and `._:@/+=-`. Raises MalformedError."""
    if not _USER_ID.fullmatch(text):
        raise MalformedError("a user_id is 1 to 256 of the letters A-Z a-z, digits, and . _ : @ / + = -")
    return text


def close(  # noqa: PLR0913  each argument is one part of the record
    scheme: Scheme,
    name: KeyName,
    kms_key: Arn,
    data_key_id: str,
    wrapped: bytes,
    *,
    data_key: bytes,
    nonce: bytes,
    secret: bytes,
) -> Record:
    """Seal a secret. `nonce` is 12 fresh random bytes, `data_key` the 32 bytes behind `wrapped`."""
    header = _header(scheme, name, kms_key, data_key_id, wrapped, nonce)
    key, commitment = _derive(data_key, header)
    sealed = AESGCM(key).encrypt(nonce, secret, header)
    return Record(scheme, name, kms_key, data_key_id, wrapped, nonce, commitment, sealed)


def open_record(record: Record, data_key: bytes) -> bytes:
    """The secret. Raises IntegrityError, the same one for every reason."""
    header = _header(
        record.scheme, record.name, record.kms_key, record.data_key_id, record.wrapped, record.nonce
    )
    key, commitment = _derive(data_key, header)
    try:
        if hmac.compare_digest(commitment, record.commitment):
            return AESGCM(key).decrypt(record.nonce, record.ciphertext, header)
    except (InvalidTag, ValueError):
        pass
    raise IntegrityError("the sealed record does not open: it was changed, or belongs to another data key")


def check(record: Record, name: KeyName) -> None:
    """Raises IntegrityError naming the first field in which the record is not the named one."""
    for each in parts(KeyName):
        if getattr(record.name, each.name) != getattr(name, each.name):
            raise IntegrityError(f"substitution: the sealed record is of another key ({each.name})")


def encode(record: Record) -> bytes:
    """Deterministic CBOR (RFC 8949 §4.2.1), integer keys."""
    header = _entries(
        record.scheme, record.name, record.kms_key, record.data_key_id, record.wrapped, record.nonce
    )
    return strict.encode({**header, 13: record.commitment, 14: record.ciphertext})


def decode(data: bytes) -> Record:
    """Raises MalformedError that names the field; what `encode` would write otherwise is refused too."""
    if len(data) > MAX_RECORD:
        raise MalformedError(f"sealed record: {len(data)} bytes; at most {MAX_RECORD} are read")
    try:
        record = _read(strict.decode_map(data))
    except MalformedError as error:
        raise MalformedError(f"sealed record: {error.message}") from None
    if encode(record) != data:
        raise MalformedError("sealed record: not in its one deterministic form")
    return record


def _entries(
    scheme: Scheme, name: KeyName, kms_key: Arn, data_key_id: str, wrapped: bytes, nonce: bytes
) -> dict[int, Any]:
    entries = {
        1: TYPE,
        2: scheme.value,
        3: name.version,
        4: WIRE_NAMES[name.key_type],
        5: name.purpose.value,
        6: name.public,
        7: name.key_id,
        8: name.user_id,
        9: str(kms_key),
        10: data_key_id,
        11: wrapped,
        12: nonce,
    }
    return {number: value for number, value in entries.items() if value is not None}


def _header(
    scheme: Scheme, name: KeyName, kms_key: Arn, data_key_id: str, wrapped: bytes, nonce: bytes
) -> bytes:
    return strict.encode(_entries(scheme, name, kms_key, data_key_id, wrapped, nonce))


def _derive(data_key: bytes, header: bytes) -> tuple[bytes, bytes]:
    """The key of this record, and the commitment to the data key and the header."""
    if len(data_key) != DATA_KEY:
        raise IntegrityError(f"a data key has {DATA_KEY} bytes, this one has another length")
    derived = HKDF(SHA256(), 32 + _COMMITMENT, salt=None, info=TYPE.encode() + b"\0" + header).derive(
        data_key
    )
    return derived[:32], derived[32:]


def _read(found: Mapping[str | int, Any]) -> Record:
    unknown = set(found) - set(range(1, 15))
    if unknown:
        raise MalformedError(f"the field {str(min(unknown, key=str))[:32]} is unknown")
    if fields.text(found.get(1), "type", 256) != TYPE:
        raise MalformedError("type: it is not one of this release")
    alg = fields.text(found.get(4), "alg", 256)
    if alg not in BY_WIRE_NAME:
        raise MalformedError("alg: it is not known to this release")
    key_type = BY_WIRE_NAME[alg]
    scheme = fields.member(Scheme, fields.text(found.get(2), "scheme", 256), "scheme")
    if scheme is Scheme.KMS_ENCRYPT:
        raise MalformedError("scheme: kms-encrypt-v0 has no records of this form")
    name = KeyName(
        key_id=_shaped(_KEY_ID, fields.text(found.get(7), "key_id", 256), "key_id"),
        key_type=key_type,
        purpose=fields.member(Purpose, fields.text(found.get(5), "purpose", 256), "purpose"),
        public=fields.data(found.get(6), "public_key", LENGTHS[key_type].public, LENGTHS[key_type].public),
        version=fields.number(found.get(3), "version", 1, MAX_VERSION),
        user_id=_shaped(_USER_ID, fields.text(found.get(8), "user_id", 256), "user_id")
        if 8 in found
        else None,
    )
    data_key_id = fields.text(found.get(10), "data_key_id", 256)
    if scheme is Scheme.KMS_ENVELOPE:
        _shaped(_DATA_KEY_ID, data_key_id, "data_key_id")
    elif data_key_id != name.key_id:
        raise MalformedError("data_key_id: kms-gdk-v1 names the key itself here")
    return Record(
        scheme,
        name,
        Arn.parse(fields.text(found.get(9), "kms_key_arn", 256)),
        data_key_id,
        fields.data(found.get(11), "wrapped", 1, 6144),
        fields.data(found.get(12), "nonce", NONCE, NONCE),
        fields.data(found.get(13), "commitment", _COMMITMENT, _COMMITMENT),
        fields.data(found.get(14), "ciphertext", 17, 8192),
    )


def _shaped(shape: re.Pattern[str], text: str, name: str) -> str:
    if not shape.fullmatch(text):
        raise MalformedError(f"{name}: its characters or its length are not those of one")
    return text
