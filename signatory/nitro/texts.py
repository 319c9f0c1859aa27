"""JSON documents that people keep beside attestation documents: read strictly, bounded, no name twice."""

import base64
import binascii
import json
import re
from typing import Any, NoReturn

from signatory.errors import MalformedError

MAX_JSON = 1 << 20
"""Bytes of a document; a manifest of 1,000 releases has some 500,000."""


def json_object(data: bytes) -> dict[str, Any]:
    """The object that `data`, UTF-8, is. Raises MalformedError, also for a name twice in one object."""
    if len(data) > MAX_JSON:
        raise MalformedError(f"{len(data)} bytes; at most {MAX_JSON} are read")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise MalformedError("it is not well-formed JSON") from None
    if not isinstance(value, dict):
        raise MalformedError("a JSON object was expected")
    return value


def base64_of(value: Any, name: str) -> bytes:
    """Standard base64 with padding, in its one canonical form. Raises MalformedError."""
    if isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            data = b""
        if data and base64.b64encode(data).decode() == value:
            return data
    raise MalformedError(f"{name}: base64 was expected")


def hex_of(value: Any, name: str, size: int) -> bytes:
    """Hex digits of exactly `size` bytes, in any case. Raises MalformedError."""
    if isinstance(value, str) and re.fullmatch(rf"[0-9A-Fa-f]{{{2 * size}}}", value):
        return bytes.fromhex(value)
    raise MalformedError(f"{name}: {2 * size} hex digits were expected")


def shown(name: str) -> str:
    """A foreign name for a message: short, in quotes, nothing in it that a terminal would obey."""
    return repr(name[:32])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise MalformedError(f"the field {shown(name)} stands twice")
        found[name] = value
    return found


def _refuse(_: str) -> NoReturn:
    raise ValueError("not a number of JSON")
