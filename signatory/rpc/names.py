"""The name of a sealed key inside calls and replies."""

from typing import Any

from signatory.crypto.curves import Purpose
from signatory.nitro import fields
from signatory.nitro.sealed import MAX_VERSION, KeyName
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
    found = fields.exactly(value, ("key_id", "key_type", "purpose", "public_key", "version", "user_id"))
    user_id = found["user_id"]
    return KeyName(
        fields.text(found["key_id"], "key_id", 64),
        shapes.family(fields.text(found["key_type"], "key_type", 32)),
        fields.member(Purpose, found["purpose"], "purpose"),
        fields.data(found["public_key"], "public_key", 0, 4096),
        fields.number(found["version"], "version", 1, MAX_VERSION),
        None if user_id is None else fields.text(user_id, "user_id", 256),
    )
