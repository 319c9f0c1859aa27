"""The folders of older versions of Signatory, `watermark_v1/` and `watermark/`, as marks of today.

`watermark/` had a mark for each kind, under old names. `watermark_v1/` had one for each key, with one order
for all kinds: block before preattestation before attestation at one level and round. What that order refused
stays refused: each kind gets the highest mark that it implies. Source: signatory-compat §5.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from signatory.errors import ConfigError, MalformedError
from signatory.watermark.marks import LEVELS, chain_of, higher, json_of, mark_of, merge, object_of
from signatory.watermark.rules import Mark
from signatory.watermark.store import Marks

NAMES = ("watermark_v1", "watermark")

MAX_BYTES = 64 << 20
"""A longer file is no file of marks."""

_RENAMED = {"endorsement": "attestation", "preendorsement": "preattestation"}
_ORDER = ("block", "preattestation", "attestation")


def folders(base_dir: Path) -> list[Path]:
    """The older folders that are there and have files. Raises OSError."""
    found = [base_dir / name for name in NAMES]
    return [folder for folder in found if folder.is_dir() and any(folder.iterdir())]


def read(base_dir: Path) -> Marks:
    """Every mark of the older folders; where both have one, the higher.

    As in Signatory only files whose names end in `.json` count, and each must be named after a chain. Raises
    ConfigError naming the file, OSError.
    """
    marks: Marks = {}
    for folder in folders(base_dir):
        of_chain = from_v1 if folder.name == "watermark_v1" else from_v0
        for path in sorted(folder.iterdir()):
            if path.suffix != ".json" or not path.is_file():
                continue
            chain = chain_of(path.name)
            if chain is None:
                raise ConfigError(
                    f"{path} is not a watermark file", hint="it has no chain for a name; move it away"
                )
            marks = merge(marks, {chain: _read(path, of_chain)})
    return marks


def from_v1(data: bytes) -> dict[str, dict[str, Mark]]:
    """A file of `watermark_v1/`: key hash to level, round, order and hash. Raises MalformedError."""
    keys = object_of("the file", json_of(data))
    return {pkh: _implied(pkh, object_of(pkh, row)) for pkh, row in keys.items()}


def from_v0(data: bytes) -> dict[str, dict[str, Mark]]:
    """A file of `watermark/`: kind, then key hash, to level, round and hash. Raises MalformedError."""
    marks: dict[str, dict[str, Mark]] = {}
    for old, keys in object_of("the file", json_of(data)).items():
        kind = _RENAMED.get(old, old)
        for pkh, fields in object_of(old, keys).items():
            kinds = marks.setdefault(pkh, {})
            name = f"{old}.{pkh}"
            kinds[kind] = higher(kinds.get(kind), mark_of(name, object_of(name, fields)))
    return marks


def _read(path: Path, of_chain: Callable[[bytes], dict[str, dict[str, Mark]]]) -> dict[str, dict[str, Mark]]:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} has more than {MAX_BYTES} bytes")
    try:
        return of_chain(data)
    except MalformedError as error:
        raise ConfigError(
            f"{path} cannot be read: {error}",
            hint="restore it from a copy that is at least as new as the last signature",
        ) from error


def _implied(pkh: str, fields: dict[str, Any]) -> dict[str, Mark]:
    no_round = {"round": 0} if fields.get("round") is None else {}  # null is what Signatory wrote for none
    mark, order = mark_of(pkh, {**fields, **no_round}), fields.get("order")
    if type(order) is not int:
        raise MalformedError(f"{pkh}.order is not a number")
    exact = order if order in (0, 1) else 2  # as Signatory reads it
    kinds: dict[str, Mark] = {}
    for place, kind in enumerate(_ORDER):
        if place == exact:
            kinds[kind] = mark
        elif place < exact:
            kinds[kind] = Mark(mark.level, mark.round)
        elif below := _below(mark):
            kinds[kind] = below
    return kinds


def _below(mark: Mark) -> Mark | None:
    """The highest place under a mark's; None under the lowest of all."""
    if mark.round > 0:
        return Mark(mark.level, mark.round - 1)
    return Mark(mark.level - 1, LEVELS[-1]) if mark.level > 0 else None
