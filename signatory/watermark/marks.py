"""The marks of one chain, and their file: Signatory's `watermark_v2/<chain>.json`, byte for byte."""

import json
import re
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

Table = dict[str, dict[str, dict[str, Mark]]]
"""Chain id, then public key hash, then request kind, to mark; for one owner, who may change it."""

CHAIN_FILE = re.compile(r"(Net[1-9A-HJ-NP-Za-km-z]{12})\.json")
"""The name of a chain's file, in the folders of every version."""

LEVELS = range(2**31)
"""What a level or a round can be."""

_VALUE_HASH = bytes.fromhex("016af2")


def chain_of(name: str) -> str | None:
    """The chain whose file has this name; None for a mistyped one, whose marks would protect nothing."""
    match = CHAIN_FILE.fullmatch(name)
    try:
        return match[1] if match and base58.decode(match[1])[0].kind == "chain id" else None
    except MalformedError:
        return None


def check(kinds: Mapping[str, Mark], kind: str, mark: Mark) -> None:
    """Whether `mark` may come after the marks of one key. Raises WatermarkError."""
    for sibling in SAME_SLOT.get(kind, (kind,)):
        if sibling in kinds:
            rules.advance(kinds[sibling], mark)


def advance(chain: Chain, pkh: str, kind: str, mark: Mark) -> Chain:
    """The marks after `mark`; the given ones stay as they are. Raises WatermarkError."""
    kinds = chain.get(pkh, {})
    check(kinds, kind, mark)
    return {**chain, pkh: {**kinds, kind: mark}}


def highest(kinds: Mapping[str, Mark], kind: str) -> Mark | None:
    """The highest mark among the kinds that bind `kind`, of one key; None where there is none."""
    found = [kinds[sibling] for sibling in SAME_SLOT.get(kind, (kind,)) if sibling in kinds]
    return max(found, key=lambda mark: (mark.level, mark.round), default=None)


def higher(first: Mark | None, second: Mark) -> Mark:
    """The higher of two records of one mark.

    Two hashes for one place, or a place whose hash one of them does not know, become a mark without a hash:
    nothing is signed at that place again.
    """
    if first is None or first == second:
        return second
    places = (first.level, first.round), (second.level, second.round)
    if places[0] == places[1]:
        return Mark(second.level, second.round)
    return first if places[0] > places[1] else second


def merge(first: Mapping[str, Chain], second: Mapping[str, Chain]) -> Table:
    """Every mark of two stores; where both have one, the higher. All dicts are new."""
    merged: Table = {}
    for marks in (first, second):
        for chain, keys in marks.items():
            into = merged.setdefault(chain, {})
            for pkh, kinds in keys.items():
                held = into.setdefault(pkh, {})
                for kind, mark in kinds.items():
                    held[kind] = higher(held.get(kind), mark)
    return merged


def copy(held: Mapping[str, Chain]) -> Table:
    """The same in dicts of its own."""
    return {chain: {pkh: dict(kinds) for pkh, kinds in keys.items()} for chain, keys in held.items()}


def lift(held: Mapping[str, Chain], floor: Mapping[str, Chain]) -> tuple[Table, int]:
    """The marks after none is lower than that of `floor`, and how many changed; see `higher`."""
    lifted, rose = copy(held), 0
    for chain, keys in floor.items():
        for pkh, kinds in keys.items():
            mine = lifted.setdefault(chain, {}).setdefault(pkh, {})
            for kind, mark in kinds.items():
                now = mine.get(kind)
                mine[kind] = higher(now, mark)
                rose += mine[kind] != now
    return lifted, rose


def encode(chain: Chain) -> bytes:
    """The file: indented by four, keys sorted, no newline at the end, as Signatory writes it."""
    rows = {pkh: {kind: _row(mark) for kind, mark in sorted(chain[pkh].items())} for pkh in sorted(chain)}
    return json.dumps(rows, indent=4).encode()


def decode(data: bytes) -> Chain:
    """Read a file. Raises MalformedError for anything not whole: an unread mark protects nothing."""
    return {
        pkh: {kind: _mark(f"{pkh}.{kind}", row) for kind, row in object_of(pkh, kinds).items()}
        for pkh, kinds in object_of("the file", json_of(data)).items()
    }


def json_of(data: bytes) -> Any:
    """JSON without a name twice. Raises MalformedError."""
    try:
        return json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise MalformedError("it is not JSON; it may be torn") from error


def object_of(name: str, value: Any) -> dict[str, Any]:
    """`value`, which `name` calls in the error, if it is an object. Raises MalformedError."""
    if not isinstance(value, dict):
        raise MalformedError(f"{name} is not an object")
    return value


def mark_of(name: str, fields: Mapping[str, Any]) -> Mark:
    """A mark from its fields; others are passed over. Raises MalformedError."""
    return Mark(
        level=number_of(f"{name}.level", fields.get("level")),
        round=number_of(f"{name}.round", fields.get("round", 0)),
        hash=_hash(f"{name}.hash", fields.get("hash")),
    )


def number_of(name: str, value: Any) -> int:
    """A level or a round. Raises MalformedError."""
    if type(value) is not int or value not in LEVELS:
        raise MalformedError(f"{name} is not a number from 0 to 2147483647")
    return value


def _row(mark: Mark) -> dict[str, int | str | None]:
    text = None if mark.hash is None else base58.encode(_VALUE_HASH, mark.hash)
    return {"level": mark.level, "round": mark.round, "hash": text}


def _mark(name: str, row: Any) -> Mark:
    fields = object_of(name, row)
    if unknown := set(fields) - {"level", "round", "hash"}:
        raise MalformedError(f"{name} has an unknown field {min(unknown)!r}")
    return mark_of(name, fields)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedError("a name stands there twice")
    return fields


def _hash(name: str, text: Any) -> bytes | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise MalformedError(f"{name} is not text")
    prefix, payload = base58.decode(text)
    if base58.encode(_VALUE_HASH, payload) != text:
        raise MalformedError(f"{name} is a {prefix.kind}, not a value hash")
    return bytes(payload)
