"""What /dev/nsm is asked and what it answers, as CBOR, for both ends.

Source: aws-nitro-enclaves-nsm-api (serde_cbor enums: a unit variant is a bare text).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args, overload

from signatory.errors import MalformedError, UnavailableError
from signatory.nitro import strict

MAX_REQUEST = 0x1000
"""Bytes of a request; the driver refuses more with EMSGSIZE."""

MAX_REPLY = 0x3000
"""Bytes to offer for a reply; the driver truncates silently what is longer than the buffer."""

MAX_RANDOM = 256
"""Bytes of one GetRandom reply at most; it is never empty."""

PCR_COUNT = 32
PCR_LENGTH = 48

ErrorCode = Literal[
    "InvalidArgument",
    "InvalidIndex",
    "InvalidResponse",
    "ReadOnlyIndex",
    "InvalidOperation",
    "BufferTooSmall",
    "InputTooLarge",
    "InternalError",
]
_CODES: Mapping[str, ErrorCode] = {code: code for code in get_args(ErrorCode)}


class NsmError(UnavailableError):
    """The module refused; `code` is its word for why."""

    def __init__(self, code: ErrorCode, request: str = "") -> None:
        super().__init__(f"the Nitro security module refused {request or 'the request'}: {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class GetRandom:
    """Answered with 1 to 256 bytes."""


@dataclass(frozen=True, slots=True)
class DescribeNsm:
    """Answered with a Description."""


@dataclass(frozen=True, slots=True)
class DescribePcr:
    """Answered with a Register."""

    index: int


@dataclass(frozen=True, slots=True)
class ExtendPcr:
    """Answered with the new value, SHA384(old || data)."""

    index: int
    data: bytes


@dataclass(frozen=True, slots=True)
class LockPcr:
    """Answered with None."""

    index: int


@dataclass(frozen=True, slots=True)
class LockPcrs:
    """Locks 0 to `range` - 1; answered with None."""

    range: int


@dataclass(frozen=True, slots=True)
class Attestation:
    """Answered with the document, a COSE_Sign1."""

    user_data: bytes | None = None
    nonce: bytes | None = None
    public_key: bytes | None = None


Request: TypeAlias = GetRandom | DescribeNsm | DescribePcr | ExtendPcr | LockPcr | LockPcrs | Attestation


@dataclass(frozen=True, slots=True)
class Description:
    """What the module says of itself."""

    module_id: str
    version: tuple[int, int, int] = (1, 0, 0)
    max_pcrs: int = PCR_COUNT
    locked_pcrs: tuple[int, ...] = field(default=tuple(range(16)))
    digest: str = "SHA384"


@dataclass(frozen=True, slots=True)
class Register:
    """A PCR: whether it is locked, and its value of 48 bytes."""

    lock: bool
    data: bytes


Reply: TypeAlias = bytes | Description | Register | None

_NAMES: Mapping[type[Request], str] = {
    GetRandom: "GetRandom",
    DescribeNsm: "DescribeNSM",
    DescribePcr: "DescribePCR",
    ExtendPcr: "ExtendPCR",
    LockPcr: "LockPCR",
    LockPcrs: "LockPCRs",
    Attestation: "Attestation",
}


def encode_request(request: Request) -> bytes:
    """The request as the device reads it. Raises MalformedError above MAX_REQUEST bytes."""
    name = _NAMES[type(request)]
    body = strict.encode(name if isinstance(request, GetRandom | DescribeNsm) else {name: _fields(request)})
    if len(body) > MAX_REQUEST:
        raise MalformedError(f"an NSM request of {len(body)} bytes; at most {MAX_REQUEST} fit")
    return body


def decode_request(body: bytes) -> Request:
    """The device's side. Raises MalformedError."""
    if len(body) > MAX_REQUEST:
        raise MalformedError(f"an NSM request of {len(body)} bytes; at most {MAX_REQUEST} fit")
    name, fields = _variant(strict.decode(body))
    match name:
        case "GetRandom" | "DescribeNSM" if fields is None:
            return GetRandom() if name == "GetRandom" else DescribeNsm()
        case "DescribePCR":
            return DescribePcr(*_take(name, fields, index=_u16))
        case "ExtendPCR":
            return ExtendPcr(*_take(name, fields, index=_u16, data=_bytes))
        case "LockPCR":
            return LockPcr(*_take(name, fields, index=_u16))
        case "LockPCRs":
            return LockPcrs(*_take(name, fields, range=_u16))
        case "Attestation":
            return Attestation(
                *_take(name, fields, user_data=_optional, nonce=_optional, public_key=_optional)
            )
    raise MalformedError(f"an unknown NSM request: {name[:32]!r}")


@overload
def decode_reply(request: GetRandom | ExtendPcr | Attestation, body: bytes) -> bytes: ...
@overload
def decode_reply(request: DescribeNsm, body: bytes) -> Description: ...
@overload
def decode_reply(request: DescribePcr, body: bytes) -> Register: ...
@overload
def decode_reply(request: LockPcr | LockPcrs, body: bytes) -> None: ...
def decode_reply(request: Request, body: bytes) -> Reply:
    """The answer to `request`. Raises NsmError for a refusal, MalformedError for what is no answer to it."""
    name, fields = _variant(strict.decode(body))
    expected = _NAMES[type(request)]
    if name == "Error":
        if isinstance(fields, str) and fields in _CODES:
            raise NsmError(_CODES[fields], expected)
        raise MalformedError("the NSM answered with an unknown error")
    if name != expected:
        raise MalformedError(f"the NSM answered {name[:32]!r} to {expected}")
    return _read_reply(request, name, fields)


def _read_reply(request: Request, name: str, fields: Any) -> Reply:
    match request:
        case GetRandom():
            return _sized(name, fields, "random", MAX_RANDOM)
        case DescribeNsm():
            return _description(fields)
        case DescribePcr():
            return Register(*_take(name, fields, lock=_bool, data=_pcr))
        case ExtendPcr():
            return _pcr(*_take(name, fields, data=_bytes))
        case Attestation():
            return _sized(name, fields, "document", MAX_REPLY)
        case LockPcr() | LockPcrs():
            if fields is not None:
                raise MalformedError(f"{name}: nothing was expected beside the name")
            return None


def encode_reply(request: Request, reply: Reply) -> bytes:
    """The device's side: `reply` is what decode_reply gives the one who asked `request`."""
    name = _NAMES[type(request)]
    match request:
        case LockPcr() | LockPcrs():
            return strict.encode(name)
        case GetRandom():
            return strict.encode({name: {"random": reply}})
        case ExtendPcr():
            return strict.encode({name: {"data": reply}})
        case Attestation():
            return strict.encode({name: {"document": reply}})
        case DescribePcr() | DescribeNsm():
            return strict.encode({name: _reply_fields(reply)})


def encode_error(code: ErrorCode) -> bytes:
    """The device's refusal."""
    return strict.encode({"Error": code})


def _fields(request: Request) -> dict[str, Any]:
    match request:
        case ExtendPcr(index, data):
            return {"index": index, "data": data}
        case LockPcrs(count):
            return {"range": count}
        case DescribePcr(index) | LockPcr(index):
            return {"index": index}
        case Attestation(user_data, nonce, public_key):
            return {"user_data": user_data, "nonce": nonce, "public_key": public_key}
    return {}


def _reply_fields(reply: Reply) -> dict[str, Any]:
    if isinstance(reply, Register):
        return {"lock": reply.lock, "data": reply.data}
    if not isinstance(reply, Description):
        raise MalformedError("this reply does not answer that request")
    versions = dict(zip(("version_major", "version_minor", "version_patch"), reply.version, strict=True))
    rest = {"max_pcrs": reply.max_pcrs, "locked_pcrs": list(reply.locked_pcrs), "digest": reply.digest}
    return {**versions, "module_id": reply.module_id, **rest}


def _variant(item: Any) -> tuple[str, Any]:
    match item:
        case str():
            return item, None
        case dict() if len(item) == 1:
            name, fields = next(iter(item.items()))
            if isinstance(name, str) and fields is not None:
                return name, fields
    raise MalformedError("an NSM message is a text or a map of one entry")


def _take(name: str, fields: Any, **readers: Any) -> list[Any]:
    """The values of exactly the fields that `readers` name, each read by its reader, in that order."""
    if not isinstance(fields, dict) or set(fields) != set(readers):
        raise MalformedError(f"{name}: expected exactly the fields {', '.join(readers)}")
    try:
        return [read(fields[field]) for field, read in readers.items()]
    except MalformedError as error:
        raise MalformedError(f"{name}: {error}") from None


def _description(fields: Any) -> Description:
    versions = {"version_major": _u16, "version_minor": _u16, "version_patch": _u16}
    rest = {"module_id": _text, "max_pcrs": _u16, "locked_pcrs": _u16s, "digest": _text}
    major, minor, patch, module_id, max_pcrs, locked, digest = _take(
        "DescribeNSM", fields, **versions, **rest
    )
    return Description(module_id, (major, minor, patch), max_pcrs, locked, digest)


def _sized(name: str, fields: Any, field_name: str, limit: int) -> bytes:
    (value,) = _take(name, fields, **{field_name: _bytes})
    if not 1 <= len(value) <= limit:
        raise MalformedError(f"{name}: {len(value)} bytes; expected 1 to {limit}")
    return bytes(value)


def _u16(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0xFFFF:
        return value
    raise MalformedError("an integer of 16 bits was expected")


def _u16s(value: Any) -> tuple[int, ...]:
    if isinstance(value, list):
        return tuple(_u16(item) for item in value)
    raise MalformedError("an array of integers was expected")


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    raise MalformedError("a byte string was expected")


def _optional(value: Any) -> bytes | None:
    return None if value is None else _bytes(value)


def _pcr(value: Any) -> bytes:
    if len(data := _bytes(value)) == PCR_LENGTH:
        return data
    raise MalformedError(f"a register of {PCR_LENGTH} bytes was expected, not {len(data)}")


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise MalformedError("a boolean was expected")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise MalformedError("a text was expected")
