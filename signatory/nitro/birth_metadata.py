"""What is stored of a key beside its birth certificate, as JSON fields, to and from the statement they make.

Everything that the statement commits to is read; the names are those of the field: `mldsa_pubkey` or
`public_key`, `wrapped_dk`, `alg` as on the wire or as people write it. What is not committed is left alone.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

from signatory.crypto.curves import LENGTHS, WIRE_NAMES, KeyType, Purpose
from signatory.crypto.keypair import NAMES
from signatory.errors import MalformedError
from signatory.nitro import fields
from signatory.nitro.birth import MAX_TIME, Origin, Statement, check_arn, check_release
from signatory.nitro.sealed import MAX_RECORD, MAX_VERSION, Scheme, check_user_id
from signatory.nitro.texts import base64_of, hex_of
from signatory.tezos.keys import PublicKey

COMMITTED = frozenset(
    {
        "alg",
        "created_at",
        "kms_key_arn",
        "mldsa_pubkey",
        "origin",
        "prev",
        "public_key",
        "purpose",
        "release",
        "user_id",
        "version",
        "wrap",
        "wrapped_dk",
    }
)
"""The names that are read."""

_DIGITS = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name).lower()


_ALGORITHMS = {_plain(name): kind for table in (WIRE_NAMES, NAMES) for kind, name in table.items()}


def metadata_of(statement: Statement) -> dict[str, Any]:
    """The fields as JSON values; `statement_of` makes the same statement of them. Null is absent.

    `public_key` and `wrapped_dk` are standard base64, `prev` is hex, `created_at` milliseconds since 1970.
    """
    return {
        "alg": WIRE_NAMES[statement.key_type],
        "public_key": base64.b64encode(statement.public).decode(),
        "wrapped_dk": base64.b64encode(statement.wrapped).decode(),
        "user_id": statement.user_id,
        "kms_key_arn": str(statement.kms_key),
        "created_at": statement.created_at,
        "wrap": statement.wrap.value,
        "origin": statement.origin.value,
        "purpose": statement.purpose.value,
        "prev": None if statement.prev is None else statement.prev.hex(),
        "release": statement.release,
        "version": statement.version,
    }


def statement_of(metadata: Mapping[str, Any]) -> Statement:
    """The statement that these fields make. Raises MalformedError that names the field."""
    try:
        return _read({name: value for name, value in metadata.items() if value is not None})
    except MalformedError as error:
        raise MalformedError(f"metadata: {error.message}", hint=error.hint) from None


def _read(found: Mapping[str, Any]) -> Statement:
    key_type = _algorithm(_required(found, "alg"))
    wrapped = base64_of(_required(found, "wrapped_dk"), "wrapped_dk")
    return Statement(
        key_type=key_type,
        public=_public(found, key_type),
        wrapped=fields.data(wrapped, "wrapped_dk", 1, MAX_RECORD),
        kms_key=check_arn(_required(found, "kms_key_arn")),
        created_at=_milliseconds(_required(found, "created_at")),
        wrap=fields.member(Scheme, _required(found, "wrap"), "wrap"),
        origin=fields.member(Origin, _required(found, "origin"), "origin"),
        purpose=fields.member(Purpose, _required(found, "purpose"), "purpose"),
        user_id=check_user_id(fields.text(found["user_id"], "user_id", 256)) if "user_id" in found else None,
        prev=_digest(found["prev"]) if "prev" in found else None,
        release=check_release(found["release"], "release") if "release" in found else None,
        version=fields.number(found.get("version", 1), "version", 1, MAX_VERSION),
    )


def _required(found: Mapping[str, Any], name: str) -> Any:
    if name not in found:
        raise MalformedError(f"{name}: is missing")
    return found[name]


def _algorithm(value: Any) -> KeyType:
    key_type = _ALGORITHMS.get(_plain(fields.text(value, "alg", 64)))
    if key_type is None:
        raise MalformedError("alg: it is not known to this release")
    return key_type


def _public(found: Mapping[str, Any], key_type: KeyType) -> bytes:
    named = [name for name in ("public_key", "mldsa_pubkey") if name in found]
    if not named:
        raise MalformedError("public_key: is missing, and mldsa_pubkey too")
    public, *others = [_key(found[name], name, key_type) for name in named]
    if any(other != public for other in others):
        raise MalformedError("mldsa_pubkey: is another key than public_key")
    return public


def _key(value: Any, name: str, key_type: KeyType) -> bytes:
    """Hex, base64 or the Base58 text of Tezos: for one family these three have three different lengths."""
    size = LENGTHS[key_type].public
    text = fields.text(value, name, 2 * size)
    if len(text) == 2 * size:
        return hex_of(text, name, size)
    if len(text) == -(-size // 3) * 4:
        return fields.data(base64_of(text, name), name, size, size)
    return _tezos(text, name, key_type)


def _tezos(text: str, name: str, key_type: KeyType) -> bytes:
    try:
        key = PublicKey.parse(text)
    except MalformedError:
        raise MalformedError(f"{name}: hex, base64 or the text of a Tezos key was expected") from None
    if key.type is not key_type:
        raise MalformedError(f"{name}: is a key of {NAMES[key.type]}, alg says {NAMES[key_type]}")
    return key.data


def _milliseconds(value: Any) -> int:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    return fields.number(value, "created_at", 1, MAX_TIME)


def _digest(value: Any) -> bytes:
    """32 bytes: hex as we write it, or base64, which is shorter."""
    if isinstance(value, str) and len(value) == 44:
        return fields.data(base64_of(value, "prev"), "prev", 32, 32)
    return hex_of(value, "prev", 32)
