"""JSON and hex as the Go program reads and writes them: same bytes out, same words for what is wrong.

Clients and their tests match these texts. Source: signatory-compat §1.2, §1.3; Go's encoding/json and hex.
"""

import binascii
import json
import re
from typing import Any

from signatory.errors import MalformedError
from signatory.server.golang_scan import check

_PLAIN = re.compile(rb'[ \t\r\n]*"([0-9a-fA-F]*)"[ \t\r\n]*')
_NO_HEX_DIGIT = re.compile(rb"[^0-9a-fA-F]")
_ESCAPED = re.compile("[<>&\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SCANNED = 16 * 1024
"""Bytes of an object or array that are read to say what is wrong; longer ones are named by what they are.

Everybody waits meanwhile: the scanner needs more than a millisecond for each kibibyte of the worst text.
"""

_TYPES = {ord("{"): "object", ord("["): "array", ord("t"): "bool", ord("f"): "bool"}


def encode(value: Any) -> bytes:
    """What Go's json.Encoder writes: compact, HTML-escaped, one newline."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text = _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return _SURROGATE.sub("\ufffd", text).encode() + b"\n"


def decode_hex_string(body: bytes) -> bytes:
    """Read a JSON string of hex. Raises MalformedError with Go's text."""
    if (match := _PLAIN.fullmatch(body)) and len(match[1]) % 2 == 0:
        return binascii.unhexlify(match[1])
    return decode_hex(decode_string(body))


def decode_string(body: bytes) -> bytes:
    """Read a JSON string as UTF-8 (`null` is empty), as Go reads into a string. Raises MalformedError."""
    value = body.strip(b" \t\r\n")
    if len(body) <= _SCANNED or value[:1] not in {b"{", b"["}:
        check(body)
    if value[:1] == b'"':
        return _unquote(value)
    if value == b"null":
        return b""
    name = _TYPES.get(value[0], "number") if value else "number"
    raise MalformedError(f"json: cannot unmarshal {name} into Go value of type string")


def decode_hex(text: bytes) -> bytes:
    """Read hex digits. Raises MalformedError with the text of Go's hex.DecodeString."""
    if match := _NO_HEX_DIGIT.search(text):
        raise MalformedError(f"encoding/hex: invalid byte: {code_point(match[0][0])}")
    if len(text) % 2:
        raise MalformedError("encoding/hex: odd length hex string")
    return binascii.unhexlify(text)


def code_point(byte: int) -> str:
    """A byte as Go's %#U shows it: `U+005A 'Z'`, without the character where it cannot be printed."""
    character = chr(byte)
    return f"U+{byte:04X} '{character}'" if character.isprintable() else f"U+{byte:04X}"


def _unquote(token: bytes) -> bytes:
    try:
        value = json.loads(token.decode("utf-8", "replace"))
    except ValueError as error:
        raise MalformedError("json: invalid string") from error
    return _SURROGATE.sub("\ufffd", value).encode() if isinstance(value, str) else b""
