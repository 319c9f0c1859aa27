"""Sealed keys in JSON files, side by side: Signatory's `enclave_keys.json`, and ours beside it.

Every write holds a lock between processes, adds to what stands there then, is durable, and is read back. What
cannot be read is never overwritten: a file that is no JSON array is refused whole, a record that cannot be
read is named, left out and left alone. Births of the keys in Signatory's file stand in a file of ours: its
own would be read by a program that does not expect them.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from signatory.errors import IntegrityError, MalformedError, UnavailableError
from signatory.files import DISK, Disk, exclusive, replace_durably
from vaults.nitro.storage import json_form
from vaults.nitro.storage.array import JsonArray
from vaults.nitro.storage.record import Found, SealedKey, Stock
from vaults.nitro.storage.series import FULL, Series
from vaults.nitro.storage.stocktaking import Entry, Placed, stock_of

T = TypeVar("T")

REFERENCE_NAME = "enclave_keys.json"
SEALED_NAME = "sealed_keys.json"
BIRTHS_NAME = "key_births.json"
EXTENDED_NAME = "sealed_keys.extended"

_EXTENDED = "This vault has spoken the extended protocol with its enclave, and speaks no other any more.\n"


class FileStore:
    """Blocks on disk and locks: see InThreads. `path` is Signatory's file, ours stand beside it."""

    def __init__(self, path: Path, *, disk: Disk = DISK, full: int = FULL) -> None:
        path = path.resolve()  # a write replaces what a link points to, not the link; in Series too
        usual = path.name == REFERENCE_NAME
        self._reference = JsonArray(path, json_form.from_reference, disk)
        self._sealed = Series(
            path.with_name(SEALED_NAME if usual else f"sealed_{path.name}"),
            json_form.from_sealed,
            disk=disk,
            full=full,
        )
        self._births = Series(
            path.with_name(BIRTHS_NAME if usual else f"births_{path.name}"),
            json_form.from_birth,
            disk=disk,
            full=full,
        )
        self._extended = path.with_name(EXTENDED_NAME if usual else f"sealed_{path.name}.extended")
        self._lock = path.with_name(f".{path.name}.lock")
        self._disk = disk
        self._one_at_a_time = threading.Lock()

    def load(self) -> Stock:
        """What the files hold; read again only where one changed.

        Raises IntegrityError for a file that is no JSON array, UnavailableError for one that cannot be read.
        """
        with self._one_at_a_time:
            return self._stock()

    def add(self, key: SealedKey) -> None:
        """Add one key durably and read it back.

        Raises MalformedError for a key that is there, IntegrityError when what is there cannot be read or
        what was written does not come back, UnavailableError when the disk refuses.
        """
        self.add_many((key,))

    def add_many(self, keys: Sequence[SealedKey]) -> None:
        """Add several with one write for each of the files; as `add`, and where it raises, some may be there.

        A key that is there already is found before anything is written.
        """
        reference = [key for key in keys if key.is_reference]
        born = [json_form.to_birth(key) for key in reference if key.birth]
        sealed = [json_form.to_sealed(key) for key in keys if not key.is_reference]
        _make_folder(self._reference.path.parent)
        with self._one_at_a_time, exclusive(self._lock):
            self._check_new(keys)
            if born:
                self._births.append(born)  # first: a birth without its key means nothing
            if reference:
                self._reference.append([json_form.to_reference(key) for key in reference])
            if sealed:
                self._sealed.append(sealed)

    def is_extended(self) -> bool:
        """Whether `remember_extended` was ever done here. Raises UnavailableError."""
        try:
            self._extended.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise UnavailableError(f"cannot read {self._extended}: {error.strerror}") from error
        return True

    def remember_extended(self) -> None:
        """Durably. Raises UnavailableError, IntegrityError when it does not come back."""
        if self.is_extended():
            return
        _make_folder(self._extended.parent)
        replace_durably(self._extended, _EXTENDED.encode(), disk=self._disk)
        if not self.is_extended():
            raise IntegrityError(f"{self._extended} was written and does not come back")

    def _stock(self) -> Stock:
        missing = [*self._sealed.missing(), *self._births.missing()]
        problems = [f"{name} is missing, and later files are there: restore it" for name in missing]
        keys = [*_placed(self._reference_entries()), *_placed(self._sealed.entries())]
        try:
            births = list(_placed(self._births.entries()))
        except IntegrityError as error:
            births = []
            problems.append(error.message)
        return stock_of(keys, births, problems)

    def _check_new(self, keys: Sequence[SealedKey]) -> None:
        """Against every record, also those that cannot be read but for their name, and one another."""
        names: set[str] = set()
        for key in keys:
            if key.id in names:
                raise MalformedError(f"{key.id} is to be added twice")
            names.add(key.id)
        if name := self._reference.held(names):
            raise MalformedError(f"{name} is already in {self._reference.path}")
        if found := self._sealed.held(names):
            raise MalformedError(f"{found[0]} is already in {found[1]}")

    def _reference_entries(self) -> Iterator[tuple[Path, int, Entry[Found]]]:
        for index, entry in enumerate(self._reference.entries()):
            yield self._reference.path, index, entry


def _placed(entries: Iterable[tuple[Path, int, Entry[T]]]) -> Iterator[Placed[T]]:
    for path, index, entry in entries:
        name = f" ({entry.name})" if entry.name else ""
        yield f"record {index}{name} of {path.name}", entry


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"cannot make the folder {folder}: {error.strerror}") from error
