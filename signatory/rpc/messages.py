"""What a host and an enclave say to each other, as CBOR, both ends.

Key order, minimal integers and shapes are the reference's, byte for byte, including its one oddity: the
Ed25519 signature travels as an array of 64 integers. Source: reference RPC, requests and responses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cbor2

from signatory.crypto.curves import KeyType, SigningVersion
from signatory.errors import IntegrityError, MalformedError
from signatory.rpc import shapes
from signatory.rpc.cbor import Item, read
from signatory.rpc.values import (
    Credentials,
    Generate,
    GenerateAndImport,
    Generated,
    GetPublicKey,
    GetPublicKeyFrom,
    Import,
    Imported,
    ImportUnencrypted,
    Initialize,
    Proof,
    ProvePossession,
    Public,
    RemoteError,
    Reply,
    Request,
    Sign,
    Signed,
    SignWith,
)

__all__ = [
    "REFERENCE_BYTES",
    "Credentials",
    "Generate",
    "GenerateAndImport",
    "Generated",
    "GetPublicKey",
    "GetPublicKeyFrom",
    "Import",
    "ImportUnencrypted",
    "Imported",
    "Initialize",
    "Proof",
    "ProvePossession",
    "Public",
    "RemoteError",
    "Reply",
    "Request",
    "Sign",
    "SignWith",
    "Signed",
    "decode_reply",
    "decode_request",
    "encode_error",
    "encode_reply",
    "encode_request",
]

REFERENCE_BYTES = 4096
"""The longest byte string, in bytes, that the reference reads; longer ones go to it as arrays of integers."""

_REMOTE_TEXT = 500
"""Characters kept of each text of a remote error."""
_REMOTE_LINKS = 12
"""Texts kept of a remote error; real ones have up to six, and all of them get into logs and answers."""
_BLS_PROOF = 96


def encode_request(request: Request, *, key_type: KeyType | None = None) -> bytes:
    """The request such that the reference's server takes it.

    Byte fields above 4096 bytes go as arrays of integers, and every version but 0 and 1 as 2. `key_type` is
    the family of the key that a Sign or SignWith is for: with BLS, version 0 would kill the reference's
    session, and raises MalformedError here.
    """
    name, body = _request_body(request, key_type)
    return cbor2.dumps({name: body}, default=_write_integers)


def _request_body(request: Request, key_type: KeyType | None) -> tuple[str, Any]:  # noqa: PLR0911 - one row a message
    match request:
        case Initialize(credentials):
            return "Initialize", {name: getattr(credentials, name) for name in _CREDENTIALS}
        case ImportUnencrypted(found, secret):
            return "ImportUnencrypted", {shapes.NAMES[found]: secret}
        case Sign(handle, message, version):
            return "Sign", {"handle": handle, **_to_sign(message, version, key_type)}
        case SignWith(blob, message, version):
            return "SignWith", {"encrypted_private_key": _bytes(blob), **_to_sign(message, version, key_type)}
        case Generate(found) | GenerateAndImport(found):
            return type(request).__name__, shapes.NAMES[found]
        case Import(blob):
            return "Import", _bytes(blob)
        case GetPublicKeyFrom(blob):
            return "PublicKeyFrom", _bytes(blob)
        case GetPublicKey(handle):
            return "PublicKey", handle
        case ProvePossession(handle):
            return "ProvePossession", handle


def _to_sign(message: bytes, version: SigningVersion, key_type: KeyType | None) -> dict[str, Any]:
    if version == SigningVersion.V0 and key_type is KeyType.BLS:
        raise MalformedError("SigningVersion0 is not supported for BLS keys")
    return {"message": _bytes(message), "version": min(int(version), int(SigningVersion.V2))}


@dataclass(frozen=True, slots=True)
class _Integers:
    """Bytes that travel as an array of integers."""

    value: bytes


_INTEGER = tuple(cbor2.dumps(value) for value in range(256))


def _write_integers(encoder: cbor2.CBOREncoder, found: object) -> None:
    """The array, joined from a table: a list of 256 KiB integers would hold everything else up for 20 ms."""
    if not isinstance(found, _Integers):
        raise TypeError(f"nothing of type {type(found).__name__} is ever sent")
    size = len(found.value)
    head = b"\x99" + size.to_bytes(2, "big") if size < 1 << 16 else b"\x9a" + size.to_bytes(4, "big")
    encoder.write(head + b"".join(map(_INTEGER.__getitem__, found.value)))


def _bytes(value: bytes) -> bytes | _Integers:
    return value if len(value) <= REFERENCE_BYTES else _Integers(value)


def decode_request(body: bytes) -> Request:
    """The request in a frame. Raises MalformedError with the reference's text; no secret is part of it."""
    name, value = shapes.variant(read(body))
    if name not in _REQUESTS:
        raise shapes.unknown_variant(name, tuple(_REQUESTS))
    return _REQUESTS[name](value)


_CREDENTIALS = ("access_key_id", "secret_access_key", "session_token", "encryption_key_id", "region")
_VERSIONS = {int(version): version for version in SigningVersion}


def _initialize(item: Item) -> Initialize:
    found = shapes.struct(item, "struct Credentials", _CREDENTIALS)
    token = shapes.optional_text(found.pop("session_token", None))
    values = {
        name: shapes.text(shapes.field(found, name)) for name in _CREDENTIALS if name != "session_token"
    }
    return Initialize(Credentials(session_token=token, **values))


def _sign(item: Item) -> Sign:
    found = shapes.struct(
        item, "struct variant Request::Sign", ("handle", "message", "version"), positional=True
    )
    return Sign(
        shapes.integer(shapes.field(found, "handle")),
        shapes.data(shapes.field(found, "message")),
        _version(shapes.field(found, "version")),
    )


def _sign_with(item: Item) -> SignWith:
    names = ("encrypted_private_key", "message", "version")
    found = shapes.struct(item, "struct variant Request::SignWith", names, positional=True)
    return SignWith(
        shapes.data(shapes.field(found, "encrypted_private_key")),
        shapes.data(shapes.field(found, "message")),
        _version(shapes.field(found, "version")),
    )


def _version(item: Item) -> SigningVersion:
    value = shapes.integer(item, "u8")
    if value not in _VERSIONS:
        raise shapes.fail(f"invalid value: {value}, expected one of: 0, 1, 2, 255")
    return _VERSIONS[value]


_REQUESTS: dict[str, Callable[[Item], Request]] = {
    "Initialize": _initialize,
    "Import": lambda item: Import(shapes.data(item)),
    "ImportUnencrypted": lambda item: ImportUnencrypted(*shapes.secret(item)),
    "Generate": lambda item: Generate(shapes.key_type(item)),
    "GenerateAndImport": lambda item: GenerateAndImport(shapes.key_type(item)),
    "Sign": _sign,
    "SignWith": _sign_with,
    "PublicKey": lambda item: GetPublicKey(shapes.integer(item)),
    "PublicKeyFrom": lambda item: GetPublicKeyFrom(shapes.data(item)),
    "ProvePossession": lambda item: ProvePossession(shapes.integer(item)),
}


def encode_reply(reply: Reply) -> bytes:
    """The reply as the reference's server writes it."""
    return cbor2.dumps({"Ok": _reply_body(reply)})


def _reply_body(reply: Reply) -> dict[str, Any] | None:
    match reply:
        case Imported(key_type, public, handle):
            return {"public_key": {shapes.NAMES[key_type]: public}, "handle": handle}
        case Generated(key_type, public, blob, handle):
            body = {"encrypted_private_key": blob, "public_key": {shapes.NAMES[key_type]: public}}
            return body if handle is None else {**body, "handle": handle}
        case Signed(key_type, signature):
            return {shapes.NAMES[key_type]: list(signature) if key_type is KeyType.ED25519 else signature}
        case Public(key_type, public):
            return {shapes.NAMES[key_type]: public}
        case Proof(proof):
            return {"Bls": proof}
        case None:
            return None


def encode_error(chain: Sequence[str]) -> bytes:
    """An error and its sources, outermost first; `source` is always there, null at the end."""
    error: dict[str, Any] | None = None
    for message in reversed(chain):
        error = {"message": message, "source": error}
    return cbor2.dumps({"Err": error})


def decode_reply(request: Request, body: bytes) -> Reply:
    """The reply to this request; a byte field may be a byte string or an array of integers.

    Raises RemoteError when the enclave says no, and IntegrityError for what is no reply to the request.
    """
    try:
        name, value = shapes.variant(read(body))
        if name == "Err":
            chain = _chain(value)
        elif name == "Ok":
            return _REPLIES[type(request)](value)
        else:
            raise shapes.unknown_variant(name, ("Ok", "Err"))
    except MalformedError as error:
        what = type(request).__name__
        raise IntegrityError(f"the enclave's reply to {what} cannot be read: {error.message}") from error
    raise RemoteError(chain)


def _chain(item: Item) -> list[str]:
    chain: list[str] = []
    while item is not None:
        found = shapes.struct(item, "struct Error", ("message", "source"))
        chain.append(shapes.printable(shapes.text(shapes.field(found, "message")), _REMOTE_TEXT))
        item = found.get("source")
    if not chain:
        raise shapes.fail("invalid type: null, expected struct Error")
    more = len(chain) - _REMOTE_LINKS
    return [*chain[:_REMOTE_LINKS], f"and {more} more"] if more > 0 else chain


def _imported(item: Item) -> Imported:
    found = shapes.struct(item, "struct ImportResult", ("public_key", "handle"))
    public = shapes.public(shapes.field(found, "public_key"))
    return Imported(*public, shapes.integer(shapes.field(found, "handle")))


def _generated(item: Item) -> Generated:
    found = shapes.struct(item, "struct GenerateResult", ("encrypted_private_key", "public_key"))
    blob = shapes.data(shapes.field(found, "encrypted_private_key"))
    if not blob:
        raise shapes.fail("invalid length 0, expected a sealed key")
    return Generated(*shapes.public(shapes.field(found, "public_key")), blob)


def _generated_and_imported(item: Item) -> Generated:
    made = _generated(item)
    found = shapes.struct(item, "struct GenerateAndImportResult", ("handle",))
    return Generated(made.key_type, made.public, made.blob, shapes.integer(shapes.field(found, "handle")))


def _proof(item: Item) -> Proof:
    name, value = shapes.variant(item)
    if name != "Bls":
        raise shapes.unknown_variant(name, ("Bls",))
    return Proof(shapes.sized(shapes.data(value), _BLS_PROOF))


def _nothing(item: Item) -> None:
    if item is not None:
        raise shapes.fail("invalid type, expected unit")


_REPLIES: dict[type, Callable[[Item], Reply]] = {
    Initialize: _nothing,
    Import: _imported,
    ImportUnencrypted: _generated_and_imported,
    Generate: _generated,
    GenerateAndImport: _generated_and_imported,
    Sign: lambda item: Signed(*shapes.signature(item)),
    SignWith: lambda item: Signed(*shapes.signature(item)),
    GetPublicKey: lambda item: Public(*shapes.public(item)),
    GetPublicKeyFrom: lambda item: Public(*shapes.public(item)),
    ProvePossession: _proof,
}
