"""A JSON array on disk that grows at its end: what stands in it is never written anew in other words.

Every write makes the whole file beside the old one, which then stands or does not; see signatory.files.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from signatory.errors import IntegrityError, MalformedError, UnavailableError
from signatory.files import DISK, Disk, replace_durably
from vaults.nitro.storage.json_form import name_of
from vaults.nitro.storage.stocktaking import Entry

T = TypeVar("T")
Stamp = tuple[int, int, int] | None

_INDENT = "    "


class JsonArray(Generic[T]):
    """`read` makes a value of a record or raises MalformedError. Blocks; not for two threads at once."""

    def __init__(self, path: Path, read: Callable[[Any], T], disk: Disk = DISK) -> None:
        self.path = path
        self._read, self._disk = read, disk
        self._stamp: Stamp = None
        self._digest = b""
        self._entries: list[Entry[T]] = []
        self._names: set[str] = set()

    def entries(self) -> Sequence[Entry[T]]:
        """What stands there, none where there is no file; read again where the file looks changed.

        Raises IntegrityError for a file that is no JSON array, UnavailableError for one that cannot be read.
        """
        stamp = _stamp(self.path)
        if stamp is None or stamp != self._stamp:
            self._take(self._bytes())
            self._stamp = stamp
        return self._entries

    def held(self, names: set[str]) -> str | None:
        """One of these that a record has, one that cannot be read included. Raises as `entries`."""
        self.entries()
        return next(iter(names & self._names), None)

    def size(self) -> int:
        """Bytes on disk, 0 where there is no file."""
        stamp = _stamp(self.path)
        return stamp[1] if stamp else 0

    def append(self, records: Sequence[dict[str, Any]]) -> None:
        """Put records at the end, durably, and read the file back. Who calls holds the lock.

        Raises as `entries`; IntegrityError where what comes back is not what was written.
        """
        before = self._bytes()
        self._take(before)
        written = _grown(before, records)
        replace_durably(self.path, written, disk=self._disk)
        stamp = _stamp(self.path)
        if self._bytes() != written:
            name = name_of(records[0])
            raise IntegrityError(f"{name} was written to {self.path} and does not come back")
        self._keep(self._entries, records)
        self._digest, self._stamp = _digest(written), stamp

    def _take(self, data: bytes) -> None:
        digest = _digest(data)
        if digest != self._digest:
            records = self._records(data)
            self._names = set()
            self._keep((), records)
            self._digest = digest

    def _keep(self, before: Sequence[Entry[T]], records: Sequence[Any]) -> None:
        self._entries = [*before, *map(self._entry, records)]
        self._names.update(entry.name for entry in self._entries[len(before) :])

    def _entry(self, record: Any) -> Entry[T]:
        try:
            return Entry(name_of(record), self._read(record))
        except MalformedError as error:
            return Entry(name_of(record), None, error.message)

    def _bytes(self) -> bytes:
        """Nothing where there is no file."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return b"[]"
        except OSError as error:
            raise UnavailableError(f"cannot read {self.path}: {error.strerror}") from error
        return data

    def _records(self, data: bytes) -> list[Any]:
        try:
            records = json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError):
            records = None
        if not isinstance(records, list):
            raise IntegrityError(
                f"{self.path} is not a JSON array; it is left as it is",
                hint="it is damaged: restore it from a backup, or move it away if it never held keys",
            )
        return records


def _grown(array: bytes, records: Sequence[dict[str, Any]]) -> bytes:
    """The array, which is one, with more records at its end."""
    head = array[: array.rindex(b"]")].rstrip()
    comma = b"" if head.endswith(b"[") else b","
    body = json.dumps(list(records), indent=len(_INDENT)).removeprefix("[").removesuffix("\n]")
    return head + comma + body.encode() + b"\n]\n"


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
