"""The part of AWS KMS that an enclave needs, as JSON 1.1 bodies, both ends.

The client makes requests and reads replies, the emulator reads requests and makes replies. Limits and names:
AWS KMS API Reference. A recipient is an attestation document; with one, KMS answers with
`CiphertextForRecipient` and no `Plaintext`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar, overload

from signatory.errors import IntegrityError, MalformedError
from signatory.nitro import kms_json as wire
from signatory.nitro.arn import Arn, check_region, host_of, is_arn

__all__ = ["Arn", "check_region", "host_of"]  # beside what is defined here: arn's names are said as kms.Arn

CONTENT_TYPE = "application/x-amz-json-1.1"

MAX_PLAINTEXT = 4096
MAX_CIPHERTEXT = 6144
MAX_DOCUMENT = 262144
MAX_RANDOM = 1024
MAX_CONTEXT = 8192
"""Bytes of an encryption context as JSON."""

KEY_ENCRYPTION_ALGORITHM = "RSAES_OAEP_SHA_256"

_TARGET = "TrentService."
_SYMMETRIC = {"EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}
_KEY_SPECS = {"AES_256": 32, "AES_128": 16}
_Value = TypeVar("_Value")
_NO_CONTEXT: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Encrypt:
    """Encrypt 1 to 4,096 bytes; takes no recipient."""

    key_id: str
    plaintext: bytes = field(repr=False)
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decrypt:
    """Decrypt 1 to 6,144 bytes; `recipient` is an attestation document."""

    ciphertext: bytes
    key_id: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    recipient: bytes | None = None


@dataclass(frozen=True, slots=True)
class GenerateDataKey:
    """A new data key of `size` bytes, as plaintext (or for the recipient) and as ciphertext."""

    key_id: str
    size: int = 32
    context: Mapping[str, str] = field(default_factory=dict)
    recipient: bytes | None = None


@dataclass(frozen=True, slots=True)
class GenerateRandom:
    """1 to 1,024 random bytes."""

    size: int
    recipient: bytes | None = None


Request: TypeAlias = Encrypt | Decrypt | GenerateDataKey | GenerateRandom


@dataclass(frozen=True, slots=True)
class Encrypted:
    """Encrypt's answer."""

    ciphertext: bytes
    key_id: Arn


@dataclass(frozen=True, slots=True)
class Secret:
    """Plaintext, or (never both) the envelope for the recipient; see cms.open."""

    plaintext: bytes | None = field(default=None, repr=False)
    for_recipient: bytes | None = None


@dataclass(frozen=True, slots=True)
class Decrypted:
    """Decrypt's answer."""

    secret: Secret
    key_id: Arn


@dataclass(frozen=True, slots=True)
class DataKey:
    """GenerateDataKey's answer."""

    secret: Secret
    ciphertext: bytes
    key_id: Arn


Reply: TypeAlias = Encrypted | Decrypted | DataKey | Secret


def target_of(request: Request) -> str:
    """The value of X-Amz-Target, such as `TrentService.Decrypt`."""
    return _TARGET + type(request).__name__


def encode_request(request: Request) -> bytes:
    """The body to post. Raises MalformedError where a limit of KMS is passed."""
    members: dict[str, Any]
    match request:
        case Encrypt(key_id, plaintext, context):
            _limit("Plaintext", len(plaintext), MAX_PLAINTEXT)
            members = {"KeyId": key_id, "Plaintext": plaintext, "EncryptionContext": _context(context)}
        case Decrypt(ciphertext, key_id, context, recipient):
            _limit("CiphertextBlob", len(ciphertext), MAX_CIPHERTEXT)
            members = {"CiphertextBlob": ciphertext, "KeyId": key_id, "EncryptionContext": _context(context)}
            members["Recipient"] = _recipient(recipient)
        case GenerateDataKey(key_id, size, context, recipient):
            _limit("NumberOfBytes", size, MAX_RANDOM)
            members = {
                "KeyId": key_id,
                "EncryptionContext": _context(context),
                "Recipient": _recipient(recipient),
            }
            members |= {"KeySpec": "AES_256"} if size == 32 else {"NumberOfBytes": size}
        case GenerateRandom(size, recipient):
            _limit("NumberOfBytes", size, MAX_RANDOM)
            members = {"NumberOfBytes": size, "Recipient": _recipient(recipient)}
    return wire.encode(members)


def decode_request(target: str, body: bytes) -> Request:
    """The emulator's side; `target` is one of TARGETS. Raises MalformedError."""
    if target not in TARGETS:
        raise MalformedError(f"{target[:64]!r} is not an operation that is served here")
    members = wire.decode(body)
    request = _READERS[target.removeprefix(_TARGET)](members)
    members.nothing_else()
    return request


@overload
def decode_reply(request: Encrypt, body: bytes) -> Encrypted: ...
@overload
def decode_reply(request: Decrypt, body: bytes) -> Decrypted: ...
@overload
def decode_reply(request: GenerateDataKey, body: bytes) -> DataKey: ...
@overload
def decode_reply(request: GenerateRandom, body: bytes) -> Secret: ...
def decode_reply(request: Request, body: bytes) -> Reply:
    """Read the body of a 200. Raises MalformedError; IntegrityError where it is the answer to something else.

    That is: plaintext where an envelope was due, or the other way round; a KeyId other than the ARN that was
    asked for; a data key of another size. Any other status is for kms_errors.decode_error.
    """
    members = wire.decode(body)
    match request:
        case Encrypt():
            return Encrypted(_ciphertext(members), _answered_by(request.key_id, members))
        case Decrypt():
            return Decrypted(_secret(request.recipient, members), _answered_by(request.key_id, members))
        case GenerateDataKey():
            secret = _sized(_secret(request.recipient, members), request.size)
            return DataKey(secret, _ciphertext(members), _answered_by(request.key_id, members))
        case GenerateRandom():
            return _sized(_secret(request.recipient, members), request.size)


def encode_reply(reply: Reply) -> bytes:
    """The emulator's side: the body of a 200."""
    members: dict[str, Any]
    match reply:
        case Encrypted(ciphertext, key_id):
            members = {"CiphertextBlob": ciphertext, "KeyId": str(key_id), **_SYMMETRIC}
        case Decrypted(secret, key_id):
            members = {**_secret_members(secret), "KeyId": str(key_id), **_SYMMETRIC}
        case DataKey(secret, ciphertext, key_id):
            members = {**_secret_members(secret), "CiphertextBlob": ciphertext, "KeyId": str(key_id)}
        case Secret():
            members = _secret_members(reply)
    return wire.encode(members)


def _read_encrypt(members: wire.Members) -> Encrypt:
    _read_algorithm(members)
    plaintext = _due("Plaintext", members.blob("Plaintext", MAX_PLAINTEXT))
    return Encrypt(_due("KeyId", members.text("KeyId")), plaintext, _read_context(members))


def _read_decrypt(members: wire.Members) -> Decrypt:
    _read_algorithm(members)
    ciphertext = _due("CiphertextBlob", members.blob("CiphertextBlob", MAX_CIPHERTEXT))
    return Decrypt(ciphertext, members.text("KeyId"), _read_context(members), _read_recipient(members))


def _read_generate_data_key(members: wire.Members) -> GenerateDataKey:
    spec, size = members.text("KeySpec"), members.integer("NumberOfBytes", MAX_RANDOM)
    if (spec is None) == (size is None) or spec not in (None, *_KEY_SPECS):
        raise MalformedError("exactly one of KeySpec (AES_128, AES_256) and NumberOfBytes was expected")
    key_id = _due("KeyId", members.text("KeyId"))
    return GenerateDataKey(
        key_id, size or _KEY_SPECS[spec or ""], _read_context(members), _read_recipient(members)
    )


def _read_generate_random(members: wire.Members) -> GenerateRandom:
    size = _due("NumberOfBytes", members.integer("NumberOfBytes", MAX_RANDOM))
    return GenerateRandom(size, _read_recipient(members))


_READERS: Mapping[str, Callable[[wire.Members], Request]] = {
    "Encrypt": _read_encrypt,
    "Decrypt": _read_decrypt,
    "GenerateDataKey": _read_generate_data_key,
    "GenerateRandom": _read_generate_random,
}
TARGETS = frozenset(_TARGET + name for name in _READERS)
"""The values of X-Amz-Target that decode_request knows."""


def _read_algorithm(members: wire.Members) -> None:
    if members.text("EncryptionAlgorithm") not in (None, _SYMMETRIC["EncryptionAlgorithm"]):
        raise MalformedError("EncryptionAlgorithm: only SYMMETRIC_DEFAULT is served here")


def _read_context(members: wire.Members) -> Mapping[str, str]:
    return _context(members.texts("EncryptionContext"))


def _read_recipient(members: wire.Members) -> bytes | None:
    if (recipient := members.members("Recipient")) is None:
        return None
    if recipient.text("KeyEncryptionAlgorithm") != KEY_ENCRYPTION_ALGORITHM:
        raise MalformedError(f"Recipient.KeyEncryptionAlgorithm: {KEY_ENCRYPTION_ALGORITHM} was expected")
    document = _due("Recipient.AttestationDocument", recipient.blob("AttestationDocument", MAX_DOCUMENT))
    recipient.nothing_else()
    return document


def _recipient(document: bytes | None) -> Mapping[str, Any] | None:
    if document is None:
        return None
    _limit("Recipient.AttestationDocument", len(document), MAX_DOCUMENT)
    return {"KeyEncryptionAlgorithm": KEY_ENCRYPTION_ALGORITHM, "AttestationDocument": document}


def _context(context: Mapping[str, str]) -> Mapping[str, str]:
    if context:
        _limit("EncryptionContext", len(wire.encode(context)), MAX_CONTEXT)
    return context


def _secret(recipient: bytes | None, members: wire.Members) -> Secret:
    plaintext, envelope = (
        members.blob("Plaintext", MAX_PLAINTEXT),
        members.blob("CiphertextForRecipient", MAX_DOCUMENT),
    )
    if recipient is not None and (plaintext is not None or envelope is None):
        raise IntegrityError("KMS answered without CiphertextForRecipient though a recipient was named")
    if recipient is None and (plaintext is None or envelope is not None):
        raise IntegrityError("KMS answered without Plaintext though no recipient was named")
    return Secret(plaintext, envelope)


def _sized(secret: Secret, size: int) -> Secret:
    if secret.plaintext is not None and len(secret.plaintext) != size:
        raise IntegrityError(f"KMS answered with {len(secret.plaintext)} bytes where {size} were asked for")
    return secret


def _ciphertext(members: wire.Members) -> bytes:
    return _due("CiphertextBlob", members.blob("CiphertextBlob", MAX_CIPHERTEXT))


def _answered_by(asked: str | None, members: wire.Members) -> Arn:
    arn = Arn.parse(_due("KeyId", members.text("KeyId")))
    if asked is not None and is_arn(asked) and asked != str(arn):
        raise IntegrityError(f"KMS answered with the key {arn}, not {asked}")
    return arn


def _secret_members(secret: Secret) -> dict[str, Any]:
    """Beside an envelope Plaintext is there and null, as KMS sends it."""
    if secret.for_recipient is None:
        return {"Plaintext": secret.plaintext}
    return {"Plaintext": wire.NULL, "CiphertextForRecipient": secret.for_recipient}


def _due(name: str, value: _Value | None) -> _Value:
    if value is None:
        raise MalformedError(f"{name} is missing")
    return value


def _limit(name: str, size: int, limit: int) -> None:
    if not 1 <= size <= limit:
        raise MalformedError(f"{name}: {size} bytes; expected 1 to {limit}")
