"""The calls of the extended protocol as bytes: an id, a time limit, and one call by name.

Strict: definite lengths, no duplicates, no unknown fields, nothing after the item. Source:
docs/enclave-protocol.md.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from signatory.crypto.curves import Purpose, SigningVersion
from signatory.errors import MalformedError
from signatory.nitro import fields, strict
from signatory.nitro.checkpoint import Checkpoint
from signatory.nitro.sealed import Scheme, check_user_id
from signatory.rpc import extended as ext
from signatory.rpc import shapes
from signatory.rpc.names import read_name, write_name
from signatory.rpc.values import GetPublicKey, ProvePossession, Sign
from signatory.rpc.wire import LIMIT_AFTER as MAX_BYTES

MAX_ID = 2**63 - 1
MAX_WITHIN = 600_000
"""Milliseconds."""

RESERVED = "SignAttested"
"""A name that a later release will serve."""

_MAX_HANDLE = 2**32 - 1
_SEALING = ("purpose", "scheme", "user_id", "nonce")


def encode_envelope(envelope: ext.Envelope) -> bytes:
    name = call_name(envelope.call)
    call = {name: _FORMS[name].write(envelope.call)}
    return strict.encode({"id": envelope.id, "within": envelope.within, "call": call})


def decode_id(body: bytes) -> int:
    """The id of a call whose rest may be anything.

    Raises MalformedError: there is nobody to answer, and the connection is of no use any more.
    """
    found = fields.exactly(strict.decode(body), ("id", "within", "call"))
    return fields.number(found["id"], "id", 0, MAX_ID)


def decode_envelope(body: bytes) -> ext.Envelope:
    """Raises MalformedError; `decode_id` tells whom to answer then."""
    found = fields.exactly(strict.decode(body), ("id", "within", "call"))
    within = found["within"]
    return ext.Envelope(
        fields.number(found["id"], "id", 0, MAX_ID),
        _call(found["call"]),
        None if within is None else fields.number(within, "within", 1, MAX_WITHIN),
    )


def call_name(call: ext.Call) -> str:
    """What the call is called on the wire."""
    return _NAMES[type(call)]


def digest_of(body: bytes) -> bytes:
    """SHA-256 of the frame that asked, which its reply repeats."""
    return hashlib.sha256(body).digest()


def _call(value: Any) -> ext.Call:
    name, inner = fields.single(value)
    if name == RESERVED:
        raise MalformedError(f"{RESERVED} is reserved; this release does not serve it")
    if name not in _FORMS:
        raise shapes.unknown_variant(name, tuple(_FORMS))
    form = _FORMS[name]
    try:
        return form.read(fields.exactly(inner, form.fields))
    except MalformedError as error:
        raise MalformedError(f"{name}: {error.message}") from None


def _write_sealing(call: ext.GenerateAttested | ext.ImportSealed) -> dict[str, Any]:
    return {
        "purpose": call.purpose.value,
        "scheme": call.scheme.value,
        "user_id": call.user_id,
        "nonce": call.nonce,
    }


def terms_of(call: ext.ImportSealed, kms_key: str) -> bytes:
    """SHA-256 over what the call says beside the sealed key, as a CBOR map in the order of the call.

    And over the id of the KMS key, or its ARN's: anybody can bring credentials to a connection, and with them
    another one.
    """
    terms = {**_write_sealing(call), "kms_key": kms_key.rpartition("/")[2]}
    return hashlib.sha256(strict.encode(terms)).digest()


def _read_sealing(found: Mapping[str, Any]) -> tuple[Purpose, Scheme, str | None, bytes | None]:
    user_id, nonce = found["user_id"], found["nonce"]
    return (
        fields.member(Purpose, found["purpose"], "purpose"),
        fields.member(Scheme, found["scheme"], "scheme"),
        None if user_id is None else check_user_id(fields.text(user_id, "user_id", 256)),
        None if nonce is None else _challenge(found),
    )


def _read_load(found: Mapping[str, Any]) -> ext.LoadSealed:
    scheme = fields.member(Scheme, found["scheme"], "scheme")
    return ext.LoadSealed(read_name(found["name"]), scheme, _data(found, "blob"))


def _read_sign(found: Mapping[str, Any]) -> Sign:
    version = fields.number(found["version"], "version", 0, 255)
    return Sign(_handle(found), _data(found, "message"), fields.member(SigningVersion, version, "version"))


def _read_checkpoint(found: Mapping[str, Any]) -> ext.SignCheckpoint:
    sequence = fields.number(found["sequence"], "sequence", 0, MAX_ID)
    return ext.SignCheckpoint(_handle(found), Checkpoint(sequence, _data(found, "digest")))


def _handle(found: Mapping[str, Any]) -> int:
    return fields.number(found["handle"], "handle", 0, _MAX_HANDLE)


def _data(found: Mapping[str, Any], name: str) -> bytes:
    return fields.data(found[name], name, 0, MAX_BYTES)


def _challenge(found: Mapping[str, Any]) -> bytes:
    return fields.data(found["nonce"], "nonce", 16, 512)


def _write_handle(call: Any) -> dict[str, Any]:
    return {"handle": call.handle}


class _Form(NamedTuple):
    """A call on the wire: its type, its fields, and both ways between them."""

    type: type
    fields: tuple[str, ...]
    write: Callable[[Any], dict[str, Any]]
    read: Callable[[dict[str, Any]], ext.Call]


_FORMS: dict[str, _Form] = {
    "Attest": _Form(
        ext.Attest,
        ("nonce",),
        lambda call: {"nonce": call.nonce},
        lambda found: ext.Attest(_challenge(found)),
    ),
    "RenewCredentials": _Form(
        ext.RenewCredentials,
        ("sealed",),
        lambda call: {"sealed": call.sealed},
        lambda found: ext.RenewCredentials(_data(found, "sealed")),
    ),
    "GenerateAttested": _Form(
        ext.GenerateAttested,
        ("key_type", *_SEALING),
        lambda call: {"key_type": shapes.NAMES[call.key_type], **_write_sealing(call)},
        lambda found: ext.GenerateAttested(
            shapes.family(fields.text(found["key_type"], "key_type", 32)), *_read_sealing(found)
        ),
    ),
    "ImportSealed": _Form(
        ext.ImportSealed,
        ("sealed", *_SEALING),
        lambda call: {"sealed": call.sealed, **_write_sealing(call)},
        lambda found: ext.ImportSealed(_data(found, "sealed"), *_read_sealing(found)),
    ),
    "LoadSealed": _Form(
        ext.LoadSealed,
        ("name", "scheme", "blob"),
        lambda call: {"name": write_name(call.name), "scheme": call.scheme.value, "blob": call.blob},
        _read_load,
    ),
    "Sign": _Form(
        Sign,
        ("handle", "message", "version"),
        lambda call: {"handle": call.handle, "message": call.message, "version": int(call.version)},
        _read_sign,
    ),
    "PublicKey": _Form(GetPublicKey, ("handle",), _write_handle, lambda found: GetPublicKey(_handle(found))),
    "ProvePossession": _Form(
        ProvePossession, ("handle",), _write_handle, lambda found: ProvePossession(_handle(found))
    ),
    "ProvePossessionOf": _Form(
        ext.ProvePossessionOf,
        ("handle", "public_key"),
        lambda call: {"handle": call.handle, "public_key": call.public},
        lambda found: ext.ProvePossessionOf(
            _handle(found), fields.data(found["public_key"], "public_key", 48, 48)
        ),
    ),
    "Checkpoint": _Form(
        ext.SignCheckpoint,
        ("handle", "sequence", "digest"),
        lambda call: {
            "handle": call.handle,
            "sequence": call.checkpoint.sequence,
            "digest": call.checkpoint.digest,
        },
        _read_checkpoint,
    ),
    "Status": _Form(ext.Status, (), lambda _: {}, lambda _: ext.Status()),
    "Cancel": _Form(
        ext.Cancel,
        ("id",),
        lambda call: {"id": call.id},
        lambda found: ext.Cancel(fields.number(found["id"], "id", 0, MAX_ID)),
    ),
}

_NAMES: dict[type, str] = {form.type: name for name, form in _FORMS.items()}
