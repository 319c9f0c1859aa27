"""Marks as one JSON document: what `watermark export` writes and `watermark import` reads.

    {"format": "signatory-watermarks", "version": 1, "chains": {CHAIN: {KEY: {KIND: {level, round, hash}}}}}

Under each chain stands what Signatory keeps in `watermark_v2/CHAIN.json`, row for row.
"""

import json

from signatory.config.problems import shown
from signatory.errors import MalformedError
from signatory.tezos import base58
from signatory.tezos.keys import PublicKeyHash
from signatory.watermark import marks
from signatory.watermark.marks import Chain
from signatory.watermark.rules import SLOTS, Mark
from signatory.watermark.store import Marks

FORMAT = "signatory-watermarks"
VERSION = 1

MAX_BYTES = 64 << 20
"""A mark takes some 200 bytes: room for 300,000."""

_VALUE_HASH = base58.required("payload hash", None).code
_FIELDS = {"format", "version", "chains"}
_RENAMED = {"endorsement": "attestation", "preendorsement": "preattestation"}
"""Kinds that files migrated by Signatory still carry, and what they are called now."""


def encode(found: Marks) -> bytes:
    """The document, indented, names sorted, one newline at the end."""
    chains = {chain: json.loads(marks.encode(found[chain])) for chain in sorted(found)}
    return json.dumps({"format": FORMAT, "version": VERSION, "chains": chains}, indent=4).encode() + b"\n"


def decode(data: bytes) -> Marks:
    """Read a document. Raises MalformedError for anything unknown: an unread mark protects nothing."""
    fields = marks.object_of("the document", marks.json_of(data))
    if fields.get("format") != FORMAT:
        raise MalformedError(
            f"this is not a document of the format {FORMAT}",
            hint="for a file of Signatory's watermark_v2 name its chain with --chain",
        )
    if type(fields.get("version")) is not int or fields["version"] != VERSION:
        raise MalformedError(f"the document has another version than {VERSION}")
    if unknown := set(fields) - _FIELDS:
        raise MalformedError(f"the document has the unknown field {shown(min(unknown))}")
    chains = marks.object_of("`chains`", fields.get("chains"))
    try:
        return {chain_id(name): _chain(json.dumps(rows).encode()) for name, rows in chains.items()}
    except RecursionError:
        raise MalformedError("the document is nested too deep") from None


def decode_chain(chain: str, data: bytes) -> Marks:
    """Read one file of Signatory's `watermark_v2`. Raises MalformedError."""
    if "format" in marks.object_of("the file", marks.json_of(data)):
        raise MalformedError("the document names its chains itself", hint="leave out --chain")
    return {chain: _chain(data)}


def chain_id(text: str) -> str:
    """The same text, when it is a chain id. Raises MalformedError."""
    try:
        row, _ = base58.decode(text)
    except MalformedError as error:
        raise MalformedError(f"{shown(text)} is not a chain id: {error}") from None
    if row.kind != "chain id":
        raise MalformedError(f"this is a {row.kind}, not a chain id")
    return text


def key_hash(text: str) -> str:
    """The same text, when it is a public key hash. Raises MalformedError."""
    try:
        return PublicKeyHash.parse(text).text
    except MalformedError as error:
        raise MalformedError(f"{shown(text)} is not a public key hash: {error}") from None


def hash_text(mark: Mark) -> str:
    """`vh...`, or a hyphen for a hash that nobody knows."""
    return "-" if mark.hash is None else base58.encode(_VALUE_HASH, mark.hash)


def _chain(data: bytes) -> Chain:
    """One chain's marks, under the names that kinds have now; of two for one kind the higher."""
    found: dict[str, dict[str, Mark]] = {}
    for key, kinds in marks.decode(data).items():
        rows = found.setdefault(key_hash(key), {})
        for kind, mark in kinds.items():
            name = _RENAMED.get(kind, kind)
            if name not in SLOTS:
                raise MalformedError(
                    f"{shown(kind)} has no marks", hint=f"kinds that have: {', '.join(SLOTS)}"
                )
            rows[name] = marks.higher(rows.get(name), mark)
    return found
