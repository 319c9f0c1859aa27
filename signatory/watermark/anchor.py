"""The epoch of a mark folder, kept in a second place: a folder put back from a backup is behind it.

An anchor protects only where it does not come back together with the folder: another disk, or a table.
"""

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from signatory.errors import ConfigError, MalformedError, UnavailableError
from signatory.files import exclusive, replace_durably

MAX_BYTES = 4096
"""A longer file is no anchor."""

MAX_NUMBER = 2**63 - 1

_STORE = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class Epoch:
    """A mark folder, by the random name given to it when it was made, and how often it began anew."""

    store: str
    number: int

    @classmethod
    def checked(cls, store: Any, number: Any) -> "Epoch":
        """The same from foreign values. Raises MalformedError."""
        if not isinstance(store, str) or not _STORE.fullmatch(store):
            raise MalformedError("`store` is not a name of 1 to 64 letters, digits and hyphens")
        if type(number) is not int or not 0 <= number <= MAX_NUMBER:
            raise MalformedError(f"`epoch` is not a number from 0 to {MAX_NUMBER}")
        return cls(store, number)

    def __str__(self) -> str:
        return f"epoch {self.number} of store {self.store}"


class Anchor(Protocol):
    """Remembers one epoch, durably."""

    place: str
    """Where it is, for messages: a path, or a table and an item."""

    async def read(self) -> Epoch | None:
        """The epoch last written; None where none ever was.

        Raises ConfigError for one that cannot be understood, UnavailableError for one that does not answer.
        """
        ...

    async def write(self, epoch: Epoch) -> None:
        """Remember `epoch`; durable on return. The same again passes.

        Raises ConfigError when what is there is higher or of another store, and leaves it; UnavailableError.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; idempotent."""
        ...


def moved(place: str, stored: Epoch | None, new: Epoch) -> bool:
    """Whether `new` must be written over `stored`. Raises ConfigError when it must not: as `Anchor.write`."""
    if stored is None:
        return True
    if stored.store != new.store:
        raise ConfigError(
            f"the anchor {place} belongs to another mark folder: it has {stored}, this is {new}",
            hint="each mark folder needs an anchor of its own; remove the anchor only if its folder is gone "
            "for good and every mark was raised above what was signed",
        )
    if stored.number > new.number:
        raise ConfigError(
            f"the anchor {place} has {stored}, the mark folder only {new}: the folder is an old copy",
            hint="raise every mark above what was signed with `signatory-cli watermark raise --restored`",
        )
    return stored != new


class FileAnchor:
    """An anchor in a small JSON file. Its folder must exist: one that is not mounted is not an empty one."""

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self._path = path

    async def read(self) -> Epoch | None:
        """See Anchor."""
        return await asyncio.to_thread(self._read)

    async def write(self, epoch: Epoch) -> None:
        """See Anchor. A second process waits for the first."""
        await asyncio.to_thread(self._write, epoch)

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _read(self) -> Epoch | None:
        if not self._path.parent.is_dir():
            raise UnavailableError(
                f"cannot read the anchor {self.place}: its folder is not there",
                hint="mount the disk that holds it, or make the folder; it is never made by itself",
            )
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnavailableError(f"cannot read the anchor {self.place}: {error.strerror}") from error
        try:
            return _decode(data)
        except MalformedError as error:
            raise ConfigError(
                f"the anchor {self.place} cannot be read: {error}",
                hint="restore it; remove it only if the mark folder is surely not an old copy",
            ) from error

    def _write(self, epoch: Epoch) -> None:
        if not self._path.parent.is_dir():
            self._read()
        with exclusive(self._path.with_name(f".{self._path.name}.lock")):
            if moved(self.place, self._read(), epoch):
                replace_durably(self._path, _encode(epoch))


def _encode(epoch: Epoch) -> bytes:
    return json.dumps({"store": epoch.store, "epoch": epoch.number}).encode() + b"\n"


def _decode(data: bytes) -> Epoch:
    try:
        fields = json.loads(data) if len(data) <= MAX_BYTES else None
    except (ValueError, RecursionError) as error:
        raise MalformedError("it is not JSON; it may be torn") from error
    if not isinstance(fields, dict) or set(fields) != {"store", "epoch"}:
        raise MalformedError("it is not an object of `store` and `epoch`")
    return Epoch.checked(fields["store"], fields["epoch"])
