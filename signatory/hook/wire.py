"""What goes to a policy hook and what comes back, as bytes. Source: signatory-compat §9."""

import base64
import binascii
import ipaddress
import json
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from signatory.errors import MalformedError
from signatory.hook.seam import Question

_SPACE = re.compile(r"[ \t\r\n]*")
_SHOWN = 256
"""Characters of a hook's words that reach our client and our log."""


def encode(question: Question, nonce: bytes) -> bytes:
    """The body: Go's field order, no spaces, no newline. None of the values needs escaping."""
    rows = [
        ("request", "null" if question.message is None else f'"{_base64(question.message)}"'),
        ("source", f'"{_address(question.source)}"'),
        ("client_key_hash", f'"{question.client_key_hash}"' if question.client_key_hash else ""),
        ("public_key_hash", f'"{question.public_key_hash}"'),
        ("nonce", f'"{_base64(nonce)}"'),
    ]
    return ("{" + ",".join(f'"{name}":{text}' for name, text in rows if text) + "}").encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """A signed answer, read but not believed yet. What is absent or null is empty, as in Go."""

    payload: bytes = field(repr=False)
    """Exactly as sent, without the space around it: this is what was signed."""
    signature: str = ""
    status: int = 0
    error: str = ""
    public_key_hash: str = ""
    nonce: bytes = b""

    @classmethod
    def parse(cls, body: bytes) -> "Reply":
        """Read `{"payload":{...},"signature":"..."}`; unknown names are passed over.

        Raises MalformedError, also for a name that stands twice: nobody can say which of the two was meant.
        """
        try:
            text = body.decode("utf-8")
            members, spans = _object(text)
        except (ValueError, RecursionError):
            raise MalformedError("the reply is not well-formed JSON") from None
        inner = members.get("payload")
        if not isinstance(inner, dict):
            raise MalformedError("the reply has no payload")
        begin, end = spans["payload"]
        return cls(
            payload=text[begin:end].encode(),
            signature=_text(members, "signature"),
            status=_integer(inner, "status"),
            error=_text(inner, "error"),
            public_key_hash=_text(inner, "public_key_hash"),
            nonce=_bytes(inner, "nonce"),
        )


def shown(text: str) -> str:
    """Words of a hook as they may appear in a message: printable, and not without end."""
    safe = "".join(c if c.isprintable() else "\ufffd" for c in text[: _SHOWN + 1])
    return safe if len(text) <= _SHOWN else f"{safe[:_SHOWN]}…"


def _address(source: str) -> str:
    """As Go prints it: an IPv4 address that came by an IPv6 socket as IPv4; empty where it is none."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return "" if address.scope_id else str(address.ipv4_mapped or address)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name twice")
    return members


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("not a number of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _object(text: str) -> tuple[dict[str, Any], dict[str, tuple[int, int]]]:
    """The members of the one object that `text` is, and where the value of each begins and ends.

    Raises ValueError, RecursionError.
    """
    place = _after(text, _skip(text, 0), "{")
    pairs: list[tuple[str, Any]] = []
    spans: dict[str, tuple[int, int]] = {}
    if text[place : place + 1] == "}":
        place += 1
    else:
        while True:
            if text[place : place + 1] != '"':
                raise ValueError("a name is a text")
            name, place = _DECODER.raw_decode(text, place)
            begin = _after(text, _skip(text, place), ":")
            value, end = _DECODER.raw_decode(text, begin)
            pairs.append((name, value))
            spans[name] = (begin, end)
            place = _skip(text, end)
            if text[place : place + 1] == "}":
                place += 1
                break
            place = _after(text, place, ",")
    if _skip(text, place) != len(text):
        raise ValueError("something after the object")
    return _unique(pairs), spans


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _after(text: str, place: int, mark: str) -> int:
    """Past `mark` and the space after it. Raises ValueError when it is not there."""
    if text[place : place + 1] != mark:
        raise ValueError(f"{mark} is missing")
    return _skip(text, place + 1)


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    raise MalformedError(f"`{name}` of the reply is not a text")


def _integer(members: dict[str, Any], name: str) -> int:
    value = members.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value or 0
    raise MalformedError(f"`{name}` of the reply is not an integer")


def _bytes(members: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(_text(members, name), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError(f"`{name}` of the reply is not base64") from None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
