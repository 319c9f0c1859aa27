"""The folders of marks, held for this process: locked, and still where they were when they were locked."""

import contextlib
import errno
import os
from pathlib import Path

from signatory.errors import UnavailableError
from signatory.files import locked

Identity = tuple[int, int]


class Hold:
    """Locks on folders. They are on the folders themselves, whatever path leads there.

    So a folder that is moved away takes its lock along, and another process may hold what stands in its
    place now. Nothing may be written there, and nothing released on what is written to the old one.
    """

    def __init__(self) -> None:
        self._locks = contextlib.ExitStack()
        self._held: dict[Path, Identity] = {}

    def take(self, folder: Path) -> None:
        """Raises UnavailableError when another process holds it, or it is moved at this moment; OSError."""
        self._held[folder] = identity(os.fstat(self._locks.enter_context(locked(folder, wait=False))))
        self.check()

    def forget(self, folder: Path) -> None:
        """What stands there from now on is not checked; another may be taken in its place."""
        self._held.pop(folder, None)

    def check(self, *folders: Path) -> None:
        """Raises UnavailableError unless these paths, or all, still lead to what is locked; OSError."""
        for folder in folders or tuple(self._held):
            if standing(folder) != self._held.get(folder):
                raise UnavailableError(
                    f"{folder} was moved or replaced while this process holds it",
                    hint="put it back, or stop this process and see which of the folders has the newer marks",
                ) from OSError(errno.ESTALE, os.strerror(errno.ESTALE))  # the system's word, for the metrics

    def release(self) -> None:
        """Let another process have them; idempotent."""
        self._held.clear()
        self._locks.close()


def identity(status: os.stat_result) -> Identity:
    """What is no other file's as long as this one is open."""
    return status.st_dev, status.st_ino


def standing(path: Path) -> Identity | None:
    """What the path leads to; None where there is nothing. Raises OSError."""
    try:
        return identity(path.stat())
    except FileNotFoundError:
        return None
