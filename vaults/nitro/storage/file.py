"""Sealed keys in two JSON files, side by side: Signatory's `enclave_keys.json` and our `sealed_keys.json`.

Every write holds a lock between processes, adds one record to what stands there then, is durable, and is read
back. What cannot be read is never overwritten: a file that is no JSON array is refused whole, a record that
cannot be read is named, left out and left alone.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signatory.errors import IntegrityError, MalformedError, UnavailableError
from signatory.files import exclusive, replace_durably
from vaults.nitro.storage.record import (
    SealedKey,
    Stock,
    from_reference,
    from_sealed,
    name_of,
    to_reference,
    to_sealed,
)

REFERENCE_NAME = "enclave_keys.json"
SEALED_NAME = "sealed_keys.json"

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class _Kind:
    path: Path
    read: Callable[[Any], SealedKey]
    write: Callable[[SealedKey], dict[str, Any]]


class FileStore:
    """Blocks on disk and locks: call it in a thread. `path` is Signatory's file, ours stands beside it."""

    def __init__(self, path: Path) -> None:
        path = path.resolve()  # a write replaces what a link points to, not the link; here and below
        self._reference = _Kind(path, from_reference, to_reference)
        beside = SEALED_NAME if path.name == REFERENCE_NAME else f"sealed_{path.name}"
        self._sealed = _Kind(path.with_name(beside).resolve(), from_sealed, to_sealed)
        self._lock = path.with_name(f".{path.name}.lock")
        self._stamps: tuple[Stamp, Stamp] | None = None
        self._stock = Stock()

    def load(self) -> Stock:
        """What the files hold; read again only where one changed.

        Raises IntegrityError for a file that is no JSON array, UnavailableError for one that cannot be read.
        """
        stamps = (_stamp(self._reference.path), _stamp(self._sealed.path))
        if stamps != self._stamps:
            self._stock = _stock(self._reference, self._sealed)
            self._stamps = stamps
        return self._stock

    def add(self, key: SealedKey) -> None:
        """Add one key durably and read it back.

        Raises MalformedError for a key that is there, IntegrityError when what is there cannot be read or
        what was written does not come back, UnavailableError when the disk refuses.
        """
        kind = self._reference if key.is_reference else self._sealed
        _make_folder(kind.path.parent)
        with exclusive(self._lock):
            if any(name_of(record) == key.id for record in _records(kind.path)):
                raise MalformedError(f"{key.id} is already in {kind.path}")
            records = [*_records(kind.path), kind.write(key)]
            replace_durably(kind.path, json.dumps(records, indent=4).encode() + b"\n")
            found = [record for record in _records(kind.path) if name_of(record) == key.id]
            if len(found) != 1 or kind.read(found[0]).blob != key.blob:
                raise IntegrityError(f"{key.id} was written to {kind.path} and does not come back")


def _stock(*kinds: _Kind) -> Stock:
    keys: dict[str, SealedKey] = {}
    problems = []
    for kind in kinds:
        for index, record in enumerate(_records(kind.path)):
            try:
                key = kind.read(record)
            except MalformedError as error:
                problems.append(_problem(kind, index, record, error.message))
                continue
            if keys.setdefault(key.id, key) is not key:
                problems.append(_problem(kind, index, record, "a record before it has the same key"))
    return Stock(tuple(keys.values()), tuple(problems))


def _problem(kind: _Kind, index: int, record: Any, reason: str) -> str:
    name = f" ({name_of(record)})" if name_of(record) else ""
    return f"record {index}{name} of {kind.path.name} is left out: {reason}"


def _records(path: Path) -> list[Any]:
    """The records of a file, none where it does not exist. Raises IntegrityError, UnavailableError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UnavailableError(f"cannot read {path}: {error.strerror}") from error
    try:
        records = json.loads(data)
    except (ValueError, RecursionError):
        records = None
    if not isinstance(records, list):
        raise IntegrityError(
            f"{path} is not a JSON array; it is left as it is",
            hint="it is damaged: restore it from a backup, or move it away if it never held keys",
        )
    return records


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"cannot make the folder {folder}: {error.strerror}") from error
