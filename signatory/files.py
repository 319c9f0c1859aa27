"""Files that are whole or not there: durable replacement, private folders, locks between processes."""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from signatory.errors import ConfigError, UnavailableError


class Disk:
    """The few operations that durable files are made of; each raises OSError.

    A layer of its own, so that a measurement can slow it down and a test can let it fail or die at any step.
    """

    def make_folder(self, path: Path, mode: int) -> None:
        """Make one folder. The name is durable after `sync_folder` of its parent."""
        path.mkdir(mode=mode)

    def create(self, path: Path, mode: int) -> int:
        """A new file, open for writing at its end. Returns the descriptor."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of `data`; after an error a part of it may be there."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def sync(self, descriptor: int) -> None:
        """Make what was written, and the length, durable.

        After an error the file must not be trusted any more: the system may have dropped what it could not
        write, and say at the next sync that all is well.
        """
        os.fdatasync(descriptor)

    def close(self, descriptor: int) -> None:
        """Let go of a file."""
        os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        """Rename, over what is there; durable after `sync_folder`."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """Remove a file; durable after `sync_folder`."""
        path.unlink()

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder; durable after `sync_folder` of its parent."""
        path.rmdir()

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class SlowDisk(Disk):
    """A disk whose every sync lasts longer, by `sync` seconds. For measurements only."""

    def __init__(self, *, sync: float) -> None:
        self._delay = sync

    def sync(self, descriptor: int) -> None:
        """See Disk."""
        time.sleep(self._delay)
        super().sync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """See Disk."""
        time.sleep(self._delay)
        super().sync_folder(folder)


DISK = Disk()
"""This machine's."""


def replace_durably(path: Path, data: bytes, *, mode: int = 0o600, disk: Disk = DISK) -> None:
    """Make `path` hold exactly `data`, also after a power cut: write beside, sync, rename, sync the folder.

    Raises UnavailableError; the old content then stands and nothing is left beside it. Only where the last
    step fails may the new content stand, and a power cut bring back the old.
    """
    disk.close(put_durably(path, data, mode=mode, disk=disk))


def put_durably(path: Path, data: bytes, *, mode: int = 0o600, disk: Disk = DISK) -> int:
    """As `replace_durably`. Returns the descriptor of the new file, open for writing at its end."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        descriptor = disk.create(beside, mode)
        try:
            disk.write(descriptor, data)
            disk.sync(descriptor)
            disk.replace(beside, path)
            disk.sync_folder(path.parent)
        except BaseException:
            disk.close(descriptor)
            raise
    except OSError as error:
        with contextlib.suppress(OSError):
            disk.unlink(beside)
        raise UnavailableError(f"cannot write {path}: {error.strerror}") from error
    return descriptor


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    DISK.sync_folder(folder)


def make_folders(path: Path, mode: int, *, disk: Disk = DISK) -> None:
    """Make a folder and the parents it lacks, each with a durable name. Raises OSError."""
    if path.is_dir():
        return
    make_folders(path.parent, mode, disk=disk)
    with contextlib.suppress(FileExistsError):
        disk.make_folder(path, mode)
    disk.sync_folder(path.parent)


def private_folder(path: Path) -> Path:
    """Make a folder of mode 0700, parents too; one that exists must be ours and is closed to others.

    Raises ConfigError when somebody else owns it, when it is not a folder, or when it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
        if not path.is_dir() or path.is_symlink():
            raise ConfigError(f"{path} is not a folder")
        if found.st_uid != os.geteuid():
            raise ConfigError(f"{path} belongs to another user")
        if found.st_mode & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {path}: {error.strerror}") from error
    return path


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock that one process at a time can hold; it ends with the process. Waits for its holder.

    Raises UnavailableError when the lock file cannot be made.
    """
    with locked(path, wait=True):
        yield


@contextlib.contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[int]:
    """Hold the lock at `path`: a file, made where absent, or a folder. Gives the descriptor that holds it.

    Raises UnavailableError when another process holds it and not `wait`, and where nothing can be locked.
    """
    try:
        if path.is_dir():
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        else:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UnavailableError(f"cannot open the lock {path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise UnavailableError(f"another process holds {path}") from error
        except OSError as error:
            raise UnavailableError(f"cannot lock {path}: {error.strerror}") from error
        yield descriptor
    finally:
        os.close(descriptor)
