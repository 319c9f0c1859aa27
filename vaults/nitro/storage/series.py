"""Records over several files: a full one is left alone, so that what one more costs does not grow."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from signatory.errors import UnavailableError
from signatory.files import DISK, Disk
from vaults.nitro.storage.array import JsonArray
from vaults.nitro.storage.stocktaking import Entry

T = TypeVar("T")

FULL = 1024 * 1024
"""Bytes from which on a file takes no more records."""


class Series(Generic[T]):
    """`NAME.json`, `NAME.2.json` and so on, each a JsonArray; new records go to the last."""

    def __init__(self, path: Path, read: Callable[[Any], T], *, disk: Disk = DISK, full: int = FULL) -> None:
        self._path, self._read, self._disk, self._full = path, read, disk, full
        self._arrays = [self._array(1)]
        self._later = re.compile(
            re.escape(path.stem) + r"\.([1-9][0-9]{0,5})" + re.escape(path.suffix), re.ASCII
        )

    def entries(self) -> Iterator[tuple[Path, int, Entry[T]]]:
        """Every record with its file and its place there. Raises as JsonArray.entries."""
        for array in self._known():
            for index, entry in enumerate(array.entries()):
                yield array.path, index, entry

    def held(self, names: set[str]) -> tuple[str, Path] | None:
        """One of these that a record has, and its file. Raises as `entries`."""
        for array in self._known():
            if name := array.held(names):
                return name, array.path
        return None

    def missing(self) -> list[str]:
        """The names of files that are not there although later ones are."""
        return [array.path.name for array in self._known()[:-1] if not array.path.exists()]

    def append(self, records: Sequence[dict[str, Any]]) -> Path:
        """As JsonArray.append; all of them in one file, which is returned."""
        known = self._known()
        if known[-1].size() >= self._full:
            known.append(self._array(len(known) + 1))
        known[-1].append(records)
        return known[-1].path

    def _known(self) -> list[JsonArray[T]]:
        """Up to the last that is there; the first always."""
        try:
            names = [entry.name for entry in self._path.parent.iterdir()]
        except FileNotFoundError:
            names = []
        except OSError as error:
            raise UnavailableError(f"cannot read {self._path.parent}: {error.strerror}") from error
        last = max((int(match[1]) for name in names if (match := self._later.fullmatch(name))), default=1)
        while len(self._arrays) < last:
            self._arrays.append(self._array(len(self._arrays) + 1))
        return self._arrays

    def _array(self, number: int) -> JsonArray[T]:
        path = self._path
        name = path.name if number == 1 else f"{path.stem}.{number}{path.suffix}"
        return JsonArray(path.with_name(name).resolve(), self._read, self._disk)
