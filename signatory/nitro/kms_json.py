"""JSON as KMS speaks it, read strictly: bounded, no name twice, canonical base64, each member of one type."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from signatory.errors import MalformedError

MAX_BODY = 1 << 20
"""Bytes; the longest real body is a request with an attestation document of 262,144 bytes in base64."""


NULL = object()
"""Written as null; None is left out."""


def encode(members: Mapping[str, Any]) -> bytes:
    """The body; members that are None or empty maps are left out, bytes become base64."""
    kept = {name: _plain(value) for name, value in members.items() if value is not None and value != {}}
    return json.dumps(kept, separators=(",", ":")).encode()


def decode(body: bytes) -> "Members":
    """The members of the object that `body` is. Raises MalformedError."""
    if len(body) > MAX_BODY:
        raise MalformedError(f"JSON: {len(body)} bytes; at most {MAX_BODY} are read")
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise MalformedError("JSON: the body is not well-formed") from None
    if not isinstance(value, dict):
        raise MalformedError("JSON: an object was expected")
    return Members(value)


class Members:
    """An object's members, taken one by one; what is left over can be refused. Null is absent."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._left = {name: value for name, value in members.items() if value is not None}

    def text(self, name: str, limit: int = 2048) -> str | None:
        """A non-empty text of at most `limit` characters. Raises MalformedError."""
        value = self._left.pop(name, None)
        if value is None or (isinstance(value, str) and 1 <= len(value) <= limit):
            return value
        raise MalformedError(f"{name}: a text of 1 to {limit} characters was expected")

    def blob(self, name: str, limit: int) -> bytes | None:
        """Base64 of 1 to `limit` bytes; an empty text counts as absent. Raises MalformedError."""
        value = self._left.pop(name, None)
        if value in (None, ""):
            return None
        data = _base64(name, value)
        if len(data) > limit:
            raise MalformedError(f"{name}: {len(data)} bytes; at most {limit} are allowed")
        return data

    def integer(self, name: str, limit: int) -> int | None:
        """An integer from 1 to `limit`. Raises MalformedError."""
        value = self._left.pop(name, None)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= limit):
            return value
        raise MalformedError(f"{name}: an integer from 1 to {limit} was expected")

    def texts(self, name: str) -> dict[str, str]:
        """A map of texts; absent is empty. Raises MalformedError."""
        value = self._left.pop(name, None)
        if value is None:
            return {}
        if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
            return dict(value)
        raise MalformedError(f"{name}: a map of texts was expected")

    def members(self, name: str) -> "Members | None":
        """An inner object. Raises MalformedError."""
        value = self._left.pop(name, None)
        if value is None:
            return None
        if isinstance(value, dict):
            return Members(value)
        raise MalformedError(f"{name}: an object was expected")

    def nothing_else(self) -> None:
        """Raises MalformedError that names a member nobody took."""
        for name in self._left:
            raise MalformedError(f"{name[:64]!r} is not known here")


def _base64(name: str, value: Any) -> bytes:
    try:
        data = base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        data = None
    if data is None or base64.b64encode(data).decode() != value:
        raise MalformedError(f"{name}: base64 was expected")
    return data


def _plain(value: Any) -> Any:
    if value is NULL:
        return None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, Mapping) else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name twice")
    return members


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("not a number of JSON")
