"""The calls of the extended protocol as bytes: an id, a time limit, and one call by name.

Strict: definite lengths, no duplicates, no unknown fields, nothing after the item. Source:
docs/enclave-protocol.md.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from signatory.crypto.curves import Purpose, SigningVersion
from signatory.errors import MalformedError
from signatory.nitro import fields, strict
from signatory.nitro.checkpoint import Checkpoint
from signatory.nitro.sealed import Scheme
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


def encode_envelope(envelope: ext.Envelope) -> bytes:
    name, value = _call_body(envelope.call)
    return strict.encode({"id": envelope.id, "within": envelope.within, "call": {name: value}})


def decode_id(body: bytes) -> int:
    """The id of a call whose rest may be anything. Raises MalformedError: the connection is of no use then."""
    found = fields.exactly(strict.decode(body), ("id", "within", "call"))
    return fields.number(found["id"], "id", 0, MAX_ID)


def decode_envelope(body: bytes) -> ext.Envelope:
    """Raises MalformedError; `decode_id` tells whom to answer then."""
    found = fields.exactly(strict.decode(body), ("id", "within", "call"))
    within = found["within"]
    name, value = fields.single(found["call"])
    if name == RESERVED:
        raise MalformedError(f"{RESERVED} is reserved; this release does not serve it")
    if name not in _CALLS:
        raise shapes.unknown_variant(name, tuple(_CALLS))
    try:
        call = _CALLS[name](value)
    except MalformedError as error:
        raise MalformedError(f"{name}: {error.message}") from None
    return ext.Envelope(
        fields.number(found["id"], "id", 0, MAX_ID),
        call,
        None if within is None else fields.number(within, "within", 1, MAX_WITHIN),
    )


def digest_of(body: bytes) -> bytes:
    """SHA-256 of the frame that asked, which its reply repeats."""
    return hashlib.sha256(body).digest()


def _call_body(call: ext.Call) -> tuple[str, Any]:  # noqa: PLR0911 - one row a call
    match call:
        case ext.Attest(nonce):
            return "Attest", {"nonce": nonce}
        case ext.RenewCredentials(sealed):
            return "RenewCredentials", {"sealed": sealed}
        case ext.GenerateAttested():
            return "GenerateAttested", {"key_type": shapes.NAMES[call.key_type], **_sealing(call)}
        case ext.ImportSealed():
            return "ImportSealed", {"sealed": call.sealed, **_sealing(call)}
        case ext.LoadSealed(name, scheme, blob):
            return "LoadSealed", {"name": write_name(name), "scheme": scheme.value, "blob": blob}
        case Sign(handle, message, version):
            return "Sign", {"handle": handle, "message": message, "version": int(version)}
        case GetPublicKey(handle):
            return "PublicKey", {"handle": handle}
        case ProvePossession(handle):
            return "ProvePossession", {"handle": handle}
        case ext.ProvePossessionOf(handle, public):
            return "ProvePossessionOf", {"handle": handle, "public_key": public}
        case ext.SignCheckpoint(handle, checkpoint):
            fields = {"handle": handle, "sequence": checkpoint.sequence, "digest": checkpoint.digest}
            return "Checkpoint", fields
        case ext.Status():
            return "Status", {}
        case ext.Cancel(identifier):
            return "Cancel", {"id": identifier}


def _sealing(call: ext.GenerateAttested | ext.ImportSealed) -> dict[str, Any]:
    return {
        "purpose": call.purpose.value,
        "scheme": call.scheme.value,
        "user_id": call.user_id,
        "nonce": call.nonce,
    }


def _read_sealing(found: Mapping[str, Any]) -> tuple[Purpose, Scheme, str | None, bytes | None]:
    user_id, nonce = found["user_id"], found["nonce"]
    return (
        fields.member(Purpose, found["purpose"], "purpose"),
        fields.member(Scheme, found["scheme"], "scheme"),
        None if user_id is None else fields.text(user_id, "user_id", 256),
        None if nonce is None else _challenge(nonce),
    )


_SEALING = ("purpose", "scheme", "user_id", "nonce")


def _generate(value: Any) -> ext.GenerateAttested:
    found = fields.exactly(value, ("key_type", *_SEALING))
    return ext.GenerateAttested(
        shapes.family(fields.text(found["key_type"], "key_type", 32)), *_read_sealing(found)
    )


def _import(value: Any) -> ext.ImportSealed:
    found = fields.exactly(value, ("sealed", *_SEALING))
    return ext.ImportSealed(fields.data(found["sealed"], "sealed", 0, MAX_BYTES), *_read_sealing(found))


def _load(value: Any) -> ext.LoadSealed:
    found = fields.exactly(value, ("name", "scheme", "blob"))
    scheme = fields.member(Scheme, found["scheme"], "scheme")
    return ext.LoadSealed(read_name(found["name"]), scheme, fields.data(found["blob"], "blob", 0, MAX_BYTES))


def _sign(value: Any) -> Sign:
    found = fields.exactly(value, ("handle", "message", "version"))
    version = fields.number(found["version"], "version", 0, 255)
    return Sign(
        _handle(found),
        fields.data(found["message"], "message", 0, MAX_BYTES),
        fields.member(SigningVersion, version, "version"),
    )


def _handle(found: Mapping[str, Any]) -> int:
    return fields.number(found["handle"], "handle", 0, 2**32 - 1)


def _checkpoint(value: Any) -> ext.SignCheckpoint:
    found = fields.exactly(value, ("handle", "sequence", "digest"))
    sequence = fields.number(found["sequence"], "sequence", 0, MAX_ID)
    return ext.SignCheckpoint(
        _handle(found), Checkpoint(sequence, fields.data(found["digest"], "digest", 0, MAX_BYTES))
    )


def _prove_of(value: Any) -> ext.ProvePossessionOf:
    found = fields.exactly(value, ("handle", "public_key"))
    return ext.ProvePossessionOf(_handle(found), fields.data(found["public_key"], "public_key", 48, 48))


def _status(value: Any) -> ext.Status:
    fields.exactly(value, ())
    return ext.Status()


def _challenge(value: Any) -> bytes:
    if not isinstance(value, bytes) or not 16 <= len(value) <= 512:
        raise MalformedError("nonce: a byte string of 16 to 512 was expected")
    return value


_CALLS: dict[str, Callable[[Any], ext.Call]] = {
    "Attest": lambda value: ext.Attest(_challenge(fields.exactly(value, ("nonce",))["nonce"])),
    "RenewCredentials": lambda value: ext.RenewCredentials(
        fields.data(fields.exactly(value, ("sealed",))["sealed"], "sealed", 0, MAX_BYTES)
    ),
    "GenerateAttested": _generate,
    "ImportSealed": _import,
    "LoadSealed": _load,
    "Sign": _sign,
    "PublicKey": lambda value: GetPublicKey(_handle(fields.exactly(value, ("handle",)))),
    "ProvePossession": lambda value: ProvePossession(_handle(fields.exactly(value, ("handle",)))),
    "ProvePossessionOf": _prove_of,
    "Checkpoint": _checkpoint,
    "Status": _status,
    "Cancel": lambda value: ext.Cancel(fields.number(fields.exactly(value, ("id",))["id"], "id", 0, MAX_ID)),
}
