"""CBOR as the Nitro world writes it, and nothing more: the reader that nsm, cose and attestation share.

Only null, booleans, integers, byte and text strings, arrays and maps with text or integer keys come through.
Tags, floats, undefined, duplicate keys and trailing bytes are refused, indefinite lengths too, but for one
outer map where it is asked for (attestation documents of 2026 have it); and more items than anything of ours
has, before they are made: each would cost a hundred times its byte.
"""

import io
from collections.abc import Callable
from typing import Any

import cbor2

from signatory.errors import MalformedError

_MAX_DEPTH = 8
_MAX_ITEMS = 1024
"""A document has some 80 with its 32 registers, a call or a reply some 30."""


_KEYS = frozenset({str, int})
_PLAIN = frozenset({type(None), bool, int, str, bytes})


class _NoTags(dict[int, Callable[..., Any]]):
    """For every tag number a decoder that refuses: cbor2 would read dates, bignums and shared references."""

    def __missing__(self, tag: int) -> Callable[..., Any]:
        return _refuse_tag


def _refuse_tag(*_: object) -> Any:
    raise ValueError("tag")


def decode(data: bytes) -> Any:
    """The one item that `data` is. Raises MalformedError."""
    _check_count(data)
    stream = io.BytesIO(data)
    value = _checked(_next(stream))
    if stream.tell() != len(data):
        raise MalformedError(f"CBOR: {len(data) - stream.tell()} bytes after the item")
    return value


def decode_map(data: bytes) -> dict[str | int, Any]:
    """The one map that `data` is, itself of definite or indefinite length. Raises MalformedError."""
    value = _open_map(data) if data[:1] == b"\xbf" else decode(data)
    if not isinstance(value, dict):
        raise MalformedError(f"CBOR: a map was expected, not {name_of(value)}")
    return value


def encode(value: Any) -> bytes:
    """The shortest definite form, map keys in the order given."""
    return cbor2.dumps(value)


def name_of(value: Any) -> str:
    """What a message calls a value, without showing it."""
    names = {
        dict: "a map",
        list: "an array",
        bytes: "a byte string",
        str: "a text",
        bool: "a boolean",
        int: "an integer",
    }
    return "null" if value is None else names.get(type(value), "something else")


def _check_count(data: bytes) -> None:
    """Skip from head to head, as far as there are any; whether they fit together is the decoder's to say."""
    if len(data) <= _MAX_ITEMS:
        return  # every head has a byte of its own
    at = count = 0
    while at < len(data):
        count += 1
        if count > _MAX_ITEMS:
            raise MalformedError(f"CBOR: more than {_MAX_ITEMS} items")
        major, size = data[at] >> 5, data[at] & 31
        at += 1
        if 24 <= size < 28:
            width = 1 << (size - 24)
            size = int.from_bytes(data[at : at + width], "big")
            at += width
        if major in {2, 3}:
            at += size


def _open_map(data: bytes) -> dict[Any, Any]:
    _check_count(data)
    stream = io.BytesIO(data)
    stream.seek(1)
    result: dict[Any, Any] = {}
    while (position := stream.tell()) < len(data):
        if data[position] == 0xFF:
            if position + 1 != len(data):
                raise MalformedError(f"CBOR: {len(data) - position - 1} bytes after the item")
            return result
        key = _checked_key(_next(stream))
        if key in result:
            raise MalformedError(f"CBOR: the key {key!r} twice")
        result[key] = _checked(_next(stream))
    raise MalformedError("CBOR: the map has no end")


def _next(stream: io.BytesIO) -> Any:
    try:
        return cbor2.CBORDecoder(
            stream,
            semantic_decoders=_NoTags(),
            max_depth=_MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        ).decode()
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise MalformedError(f"CBOR: {error}") from None


def _checked(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list:
        return [_checked(item) for item in value]
    if kind is dict:
        for key, item in value.items():
            _checked_key(key)
            if type(item) not in _PLAIN:
                value[key] = _checked(item)
        return value
    raise MalformedError("CBOR: floats, undefined and simple values are not expected here")


def _checked_key(key: Any) -> str | int:
    if type(key) in _KEYS:
        found: str | int = key
        return found
    raise MalformedError("CBOR: the keys of a map must be texts or integers")
