"""A disk that dies or fails at its Nth step, and knows what a power cut would leave of what was done on it.

The model: a file's bytes survive up to its last sync, a name up to the last sync of its folder. What was not
synced may be lost, kept, or kept in part, names and bytes apart from each other.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from signatory.files import Disk


class Died(Exception):  # noqa: N818 - it is no error of the program: there is no program any more
    """The process or the machine ended here."""


@dataclass(eq=False)
class File:
    """The bytes that a reader sees, and those that a power cut leaves."""

    data: bytes = b""
    synced: bytes = b""
    poisoned: bool = False
    """A sync failed: the system forgot that these bytes are not on the disk."""


@dataclass(eq=False)
class Folder:
    """The names that a reader sees, and those that a power cut leaves."""

    names: dict[str, "File | Folder"] = field(default_factory=dict)
    synced: dict[str, "File | Folder"] = field(default_factory=dict)


class FaultyDisk(Disk):
    """Works on `base` as a disk does, without real syncs; step `at` (from 1) goes wrong, if any.

    With `error` that step fails with this number, and so do the `times - 1` after it; without, it is the last
    that happens, a write half done.
    """

    def __init__(self, base: Path, at: int = 0, *, error: int = 0, times: int = 1) -> None:
        self.steps: list[str] = []
        self.dead = False
        self._base = base
        self._at, self._error, self._times = at, error, times
        self._root = _durable(base)
        self._files: dict[int, File] = {}

    def make_folder(self, path: Path, mode: int) -> None:
        self._step("make_folder")
        super().make_folder(path, mode)
        self._folder(path.parent).names[path.name] = Folder()

    def create(self, path: Path, mode: int) -> int:
        self._step("create")
        descriptor = super().create(path, mode)
        self._files[descriptor] = self._folder(path.parent).names[path.name] = File()
        return descriptor

    def write(self, descriptor: int, data: bytes) -> None:
        try:
            self._step("write")
        except (OSError, Died):
            half = data[: len(data) // 2]
            super().write(descriptor, half)
            self._files[descriptor].data += half
            raise
        super().write(descriptor, data)
        self._files[descriptor].data += data

    def sync(self, descriptor: int) -> None:
        file = self._files[descriptor]
        try:
            self._step("sync")
        except OSError:
            file.poisoned = True
            raise
        if not file.poisoned:
            file.synced = file.data

    def close(self, descriptor: int) -> None:
        self._files.pop(descriptor, None)
        super().close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        self._step("replace")
        super().replace(source, target)
        self._folder(target.parent).names[target.name] = self._folder(source.parent).names.pop(source.name)

    def unlink(self, path: Path) -> None:
        self._step("unlink")
        super().unlink(path)
        del self._folder(path.parent).names[path.name]

    def remove_folder(self, path: Path) -> None:
        self._step("remove_folder")
        super().remove_folder(path)
        del self._folder(path.parent).names[path.name]

    def sync_folder(self, folder: Path) -> None:
        self._step("sync_folder")
        if folder == self._base or self._base in folder.parents:
            found = self._folder(folder)
            found.synced = dict(found.names)

    def survivors(self, into: Path) -> Iterator[tuple[str, Path]]:
        """What may be found after a power cut now, each once, written to a folder of its own under `into`."""
        seen = []
        for names in ("lost", "kept"):
            for data in ("lost", "kept", "torn", "zeros"):
                files = _left(self._root, names, data)
                if files in seen:
                    continue
                seen.append(files)
                target = into / f"names-{names}-data-{data}"
                target.mkdir(parents=True)
                _write(files, target)
                yield target.name, target

    def _step(self, name: str) -> None:
        if self.dead:
            raise Died
        self.steps.append(name)
        done = len(self.steps) - self._at
        if self._at and 0 <= done < self._times:
            if self._error:
                raise OSError(self._error, os.strerror(self._error))
            self.dead = True
            raise Died

    def _folder(self, path: Path) -> Folder:
        found: File | Folder = self._root
        for part in path.relative_to(self._base).parts:
            assert isinstance(found, Folder)
            found = found.names[part]
        if not isinstance(found, Folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return found


def _durable(path: Path) -> Folder:
    names: dict[str, File | Folder] = {}
    for one in path.iterdir():
        names[one.name] = _durable(one) if one.is_dir() else File(one.read_bytes(), one.read_bytes())
    return Folder(names, dict(names))


def _left(folder: Folder, names: str, data: str) -> dict[str, Any]:
    """Name to bytes, or to the same of a folder."""
    left: dict[str, Any] = {}
    for name, found in (folder.synced if names == "lost" else folder.names).items():
        if isinstance(found, Folder):
            left[name] = _left(found, names, data)
            continue
        assert found.data.startswith(found.synced)
        rest = found.data[len(found.synced) :]
        kept = {"lost": b"", "kept": rest, "torn": rest[: len(rest) // 2], "zeros": bytes(len(rest))}[data]
        left[name] = found.synced + kept
    return left


def _write(files: dict[str, Any], target: Path) -> None:
    for name, found in files.items():
        if isinstance(found, bytes):
            (target / name).write_bytes(found)
        else:
            (target / name).mkdir()
            _write(found, target / name)
