"""Hello, the reply to it, what both commit to, and what travels encrypted to the connection that they begin.

Strict, but for the reply to Hello: a reference enclave may have written that one, to say that it knows no
such request. Source: docs/enclave-protocol.md.
"""

import hashlib
from typing import Any

from signatory.crypto.curves import LENGTHS, KeyType
from signatory.errors import IntegrityError, MalformedError
from signatory.nitro import fields, strict
from signatory.rpc import extended as ext
from signatory.rpc import shapes
from signatory.rpc.cbor import Item, Map, read
from signatory.rpc.values import Credentials, RemoteError

VERSION = 1
NONCE = 32

_HELLO_TAG = b"signatory-vault/hello/v1\0"
_HPKE_TAG = b"signatory-vault/hpke/v1\0"
_TEXT = 500
_LINKS = 12
_SCHEMES = 16
_WELCOME = (
    "version",
    "nonce",
    "session_key",
    "in_flight",
    "frame_limit",
    "schemes",
    "reference_protocol",
    "release",
)


def is_hello(body: bytes) -> bool:
    """Whether the first frame of a connection begins the extended protocol."""
    try:
        item = read(body)
    except MalformedError:
        return False
    return isinstance(item, Map) and len(item.entries) == 1 and item.entries[0][0] == "Hello"


def encode_hello(hello: ext.Hello) -> bytes:
    return strict.encode({"Hello": {"version": hello.version, "nonce": hello.nonce}})


def decode_hello(body: bytes) -> ext.Hello:
    """Raises MalformedError, also for a version that this release does not speak."""
    name, value = fields.single(strict.decode(body))
    if name != "Hello":
        raise MalformedError("the first frame is no Hello")
    found = fields.exactly(value, ("version", "nonce"))
    if fields.number(found["version"], "version", 0, 2**32 - 1) != VERSION:
        raise MalformedError(f"this enclave speaks version {VERSION} of the extended protocol")
    return ext.Hello(fields.data(found["nonce"], "nonce", NONCE, NONCE))


def encode_welcome(welcome: ext.Welcome) -> bytes:
    found = {name: getattr(welcome, name) for name in _WELCOME}
    return strict.encode({"Ok": {**found, "schemes": list(welcome.schemes)}})


def decode_welcome(body: bytes) -> ext.Welcome:
    """The reply to Hello. Raises RemoteError for a refusal, IntegrityError for what is neither.

    A reference enclave refuses with `unknown variant`; nothing else may be taken for one.
    """
    try:
        name, value = shapes.variant(read(body))
        if name == "Ok":
            return _welcome(fields.single(strict.decode(body))[1])
        chain = _lenient_chain(value if name == "Err" else None)
    except MalformedError as error:
        raise IntegrityError(f"the enclave's reply to Hello cannot be read: {error.message}") from error
    raise RemoteError(chain)


def _welcome(value: Any) -> ext.Welcome:
    found = fields.exactly(value, _WELCOME)
    fields.number(found["version"], "version", VERSION, VERSION)
    schemes = found["schemes"]
    if not isinstance(schemes, list) or len(schemes) > _SCHEMES:
        raise MalformedError(f"schemes: a list of at most {_SCHEMES} names was expected")
    return ext.Welcome(
        nonce=fields.data(found["nonce"], "nonce", NONCE, NONCE),
        session_key=fields.data(found["session_key"], "session_key", 32, 32),
        in_flight=fields.number(found["in_flight"], "in_flight", 1, 65_536),
        frame_limit=fields.number(found["frame_limit"], "frame_limit", 4096, 2**28),
        schemes=tuple(fields.word(name, "schemes", 64) for name in schemes),
        reference_protocol=fields.boolean(found["reference_protocol"], "reference_protocol"),
        release=fields.word(found["release"], "release", 64),
    )


def _lenient_chain(item: Item) -> list[str]:
    chain: list[str] = []
    while item is not None and len(chain) < _LINKS:
        found = shapes.struct(item, "struct Error", ("message", "source"))
        chain.append(shapes.printable(shapes.text(shapes.field(found, "message")), _TEXT))
        item = found.get("source")
    if not chain:
        raise MalformedError("an error without a message")
    return chain


def transcript(hello: bytes, welcome: bytes) -> bytes:
    """SHA-256 over the two bodies that began a connection: the user_data of its attestation document."""
    framed = b"".join(len(body).to_bytes(8, "big") + body for body in (hello, welcome))
    return hashlib.sha256(_HELLO_TAG + framed).digest()


def hpke_info(
    call: type[ext.RenewCredentials | ext.ImportSealed], transcript_digest: bytes, terms: bytes = b""
) -> bytes:
    """What binds a sealed message to its connection and to one kind of call.

    `terms` are calls.terms_of an ImportSealed: whoever relays it cannot have the key taken on other ones.
    """
    return _HPKE_TAG + call.__name__.encode() + b"\0" + transcript_digest + terms


_CREDENTIALS = ("access_key_id", "secret_access_key", "session_token", "encryption_key_id", "region")


def encode_credentials(credentials: Credentials) -> bytes:
    """The plaintext of RenewCredentials."""
    return strict.encode({name: getattr(credentials, name) for name in _CREDENTIALS})


def decode_credentials(data: bytes) -> Credentials:
    """Raises MalformedError; its text says nothing of the credentials."""
    found = fields.exactly(_opened(data), _CREDENTIALS)
    token = found.pop("session_token")
    texts = {name: fields.text(value, name, 4096) for name, value in found.items()}
    return Credentials(
        session_token=None if token is None else fields.text(token, "session_token", 16_384), **texts
    )


def encode_secret(key_type: KeyType, secret: bytes) -> bytes:
    """The plaintext of ImportSealed: the reference's form of a private key."""
    return strict.encode({shapes.NAMES[key_type]: secret})


def decode_secret(data: bytes) -> tuple[KeyType, bytes]:
    """Raises MalformedError; its text says nothing of the secret."""
    name, secret = fields.single(_opened(data))
    if name not in shapes.BY_NAME:
        raise MalformedError("the family of the sealed key is not known to this release")
    key_type = shapes.BY_NAME[name]
    lengths = LENGTHS[key_type]
    if isinstance(secret, bytes) and len(secret) in {lengths.secret, lengths.expanded} - {0}:
        return key_type, secret
    raise MalformedError("the sealed key does not have the length of its family")


def _opened(data: bytes) -> Any:
    """What was sealed; a decoder's own words could quote it."""
    try:
        return strict.decode(data)
    except MalformedError:
        raise MalformedError("what was sealed is not in the form that is expected") from None
