"""The name of a sealed key inside calls and replies."""

from typing import Any

from signatory.crypto.curves import LENGTHS, Purpose
from signatory.nitro import fields
from signatory.nitro.sealed import MAX_VERSION, KeyName, check_user_id
from signatory.rpc import shapes


def write_name(name: KeyName) -> dict[str, Any]:
    return {
        "key_id": name.key_id,
        "key_type": shapes.NAMES[name.key_type],
        "purpose": name.purpose.value,
        "public_key": name.public,
        "version": name.version,
        "user_id": name.user_id,
    }


def read_name(value: Any) -> KeyName:
    """`public` may be empty, see LoadSealed. Raises MalformedError."""
    found = fields.exactly(value, ("key_id", "key_type", "purpose", "public_key", "version", "user_id"))
    key_type = shapes.family(fields.text(found["key_type"], "key_type", 32))
    user_id = found["user_id"]
    return KeyName(
        fields.text(found["key_id"], "key_id", 64),
        key_type,
        fields.member(Purpose, found["purpose"], "purpose"),
        _public(found["public_key"], LENGTHS[key_type].public),
        fields.number(found["version"], "version", 1, MAX_VERSION),
        None if user_id is None else check_user_id(fields.text(user_id, "user_id", 256)),
    )


def _public(value: Any, size: int) -> bytes:
    return b"" if value == b"" else fields.data(value, "public_key", size, size)
