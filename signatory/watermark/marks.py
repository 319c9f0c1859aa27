"""The marks of one chain, and their file: Signatory's `watermark_v2/<chain>.json`, byte for byte."""

import json
from collections.abc import Mapping
from typing import Any

from signatory.errors import MalformedError
from signatory.tezos import base58
from signatory.watermark import rules
from signatory.watermark.rules import Mark

Chain = Mapping[str, Mapping[str, Mark]]
"""Public key hash, then request kind, to mark."""

SAME_SLOT = {
    "attestation": ("attestation", "attestation_with_dal", "endorsement"),
    "attestation_with_dal": ("attestation", "attestation_with_dal", "endorsement"),
    "preattestation": ("preattestation", "preendorsement"),
}
"""Kinds whose marks bind each other: two of one slot at one level and round would be a double signing.

The last names are those that files migrated from old versions of Signatory still carry.
"""

_VALUE_HASH = bytes.fromhex("016af2")
_LEVELS = range(2**31)


def advance(chain: Chain, pkh: str, kind: str, mark: Mark) -> Chain:
    """The marks after `mark`; the given ones stay as they are. Raises WatermarkError."""
    marks = chain.get(pkh, {})
    for sibling in SAME_SLOT.get(kind, (kind,)):
        if sibling in marks:
            rules.advance(marks[sibling], mark)
    return {**chain, pkh: {**marks, kind: mark}}


def encode(chain: Chain) -> bytes:
    """The file: indented by four, keys sorted, no newline at the end, as Signatory writes it."""
    rows = {pkh: {kind: _row(mark) for kind, mark in sorted(chain[pkh].items())} for pkh in sorted(chain)}
    return json.dumps(rows, indent=4).encode()


def decode(data: bytes) -> Chain:
    """Read a file. Raises MalformedError for anything not whole: an unread mark protects nothing."""
    try:
        rows = json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise MalformedError("it is not JSON; it may be torn") from error
    return {
        pkh: {kind: _mark(f"{pkh}.{kind}", row) for kind, row in _object(pkh, kinds).items()}
        for pkh, kinds in _object("the file", rows).items()
    }


def _row(mark: Mark) -> dict[str, int | str | None]:
    text = None if mark.hash is None else base58.encode(_VALUE_HASH, mark.hash)
    return {"level": mark.level, "round": mark.round, "hash": text}


def _mark(name: str, row: Any) -> Mark:
    fields = _object(name, row)
    if unknown := set(fields) - {"level", "round", "hash"}:
        raise MalformedError(f"{name} has an unknown field {min(unknown)!r}")
    return Mark(
        level=_number(f"{name}.level", fields.get("level")),
        round=_number(f"{name}.round", fields.get("round", 0)),
        hash=_hash(f"{name}.hash", fields.get("hash")),
    )


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedError(f"{name} is not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedError("a name stands there twice")
    return fields


def _number(name: str, value: Any) -> int:
    if type(value) is not int or value not in _LEVELS:
        raise MalformedError(f"{name} is not a number from 0 to 2147483647")
    return value


def _hash(name: str, text: Any) -> bytes | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise MalformedError(f"{name} is not text")
    prefix, payload = base58.decode(text)
    if base58.encode(_VALUE_HASH, payload) != text:
        raise MalformedError(f"{name} is a {prefix}, not a value hash")
    return bytes(payload)
