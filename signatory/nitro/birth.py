"""Birth statements: what an enclave says of a key when it makes or takes one, in one deterministic form.

Its SHA-256 stands in the user_data of an attestation document that has no public_key, so that a document made
for KMS or for a connection is never one of a birth. Source: enclave-kms-attestation §10; fields 1 to 11 are
its, 12 (purpose) and 13 (version) are ours, and a key without a tenant has no field 5.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from signatory.crypto.curves import BY_WIRE_NAME, LENGTHS, WIRE_NAMES, KeyType, Purpose
from signatory.errors import MalformedError
from signatory.nitro import fields, strict
from signatory.nitro.arn import Arn
from signatory.nitro.sealed import MAX_RECORD, MAX_VERSION, Scheme, check_user_id

TYPE = "signatory-vault/birth/v1"
MAX_STATEMENT = MAX_RECORD + 8192
MAX_TIME = 2**53 - 1
"""Milliseconds since 1970 that JSON can carry exactly."""

_RELEASE = re.compile(r"[A-Za-z0-9._:+-]{1,64}")


class Origin(Enum):
    """Where a key comes from; one that was imported is known to whoever brought it."""

    GENERATED = "generated"
    IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class Statement:
    """What the enclave says."""

    key_type: KeyType
    public: bytes
    wrapped: bytes = field(repr=False)
    """The blob exactly as it is handed to storage: a sealed record, or KMS's ciphertext (v0)."""
    kms_key: Arn
    """As KMS answered, never as the caller asked."""
    created_at: int
    """Milliseconds since 1970 by the enclave's clock; the document's own timestamp is the one to trust."""
    wrap: Scheme
    origin: Origin
    purpose: Purpose
    user_id: str | None = None
    prev: bytes | None = None
    """The SHA-256 of the statement before, where the same key was sealed anew."""
    release: str | None = None
    version: int = 1

    def digest(self) -> bytes:
        """The user_data of its attestation document: SHA-256 of `encode`."""
        return hashlib.sha256(encode(self)).digest()


def encode(statement: Statement) -> bytes:
    """Deterministic CBOR (RFC 8949 §4.2.1), integer keys, definite lengths."""
    entries: dict[int, Any] = {
        1: TYPE,
        2: WIRE_NAMES[statement.key_type],
        3: statement.public,
        4: statement.wrapped,
        5: statement.user_id,
        6: str(statement.kms_key),
        7: statement.created_at,
        8: statement.wrap.value,
        9: statement.origin.value,
        10: statement.prev,
        11: statement.release,
        12: statement.purpose.value,
        13: statement.version,
    }
    return strict.encode({number: value for number, value in entries.items() if value is not None})


def decode(data: bytes) -> Statement:
    """Raises MalformedError that names the field, also for bytes that `encode` would write otherwise."""
    if len(data) > MAX_STATEMENT:
        raise MalformedError(f"birth statement: {len(data)} bytes; at most {MAX_STATEMENT} are read")
    try:
        statement = _read(strict.decode_map(data))
    except MalformedError as error:
        raise MalformedError(f"birth statement: {error.message}") from None
    if encode(statement) != data:
        raise MalformedError("birth statement: not in its one deterministic form")
    return statement


def _read(found: Mapping[str | int, Any]) -> Statement:
    unknown = set(found) - set(range(1, 14))
    if unknown:
        raise MalformedError(f"the field {str(min(unknown, key=str))[:32]} is unknown")
    if fields.text(found.get(1), "type", 256) != TYPE:
        raise MalformedError("type: it is not a birth statement of this release")
    alg = fields.text(found.get(2), "alg", 256)
    if alg not in BY_WIRE_NAME:
        raise MalformedError("alg: it is not known to this release")
    size = LENGTHS[BY_WIRE_NAME[alg]].public
    return Statement(
        key_type=BY_WIRE_NAME[alg],
        public=fields.data(found.get(3), "public_key", size, size),
        wrapped=fields.data(found.get(4), "wrapped_private_key", 1, MAX_RECORD),
        kms_key=check_arn(found.get(6)),
        created_at=fields.number(found.get(7), "created_at", 1, MAX_TIME),
        wrap=fields.member(Scheme, fields.text(found.get(8), "wrap", 256), "wrap"),
        origin=fields.member(Origin, fields.text(found.get(9), "origin", 256), "origin"),
        purpose=fields.member(Purpose, fields.text(found.get(12), "purpose", 256), "purpose"),
        user_id=check_user_id(fields.text(found.get(5), "user_id", 256)) if 5 in found else None,
        prev=fields.data(found.get(10), "prev", 32, 32) if 10 in found else None,
        release=check_release(found.get(11), "enclave") if 11 in found else None,
        version=fields.number(found.get(13), "version", 1, MAX_VERSION),
    )


def check_arn(value: Any) -> Arn:
    """The field `kms_key_arn`. Raises MalformedError."""
    try:
        return Arn.parse(fields.text(value, "kms_key_arn", 256))
    except MalformedError as error:
        name = "" if error.message.startswith("kms_key_arn: ") else "kms_key_arn: "
        raise MalformedError(f"{name}{error.message}", hint=error.hint) from None


def check_release(value: Any, name: str) -> str:
    """What an enclave calls its release: 1 to 64 letters, digits and `._:+-`. Raises MalformedError."""
    text = fields.text(value, name, 64)
    if not _RELEASE.fullmatch(text):
        raise MalformedError(f"{name}: its characters or its length are not those of a release")
    return text
