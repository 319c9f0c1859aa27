"""Files that are whole or not there: durable replacement, private folders, locks between processes."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from signatory.errors import ConfigError, UnavailableError


def replace_durably(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Make `path` hold exactly `data`, also after a power cut: write beside, sync, rename, sync the folder.

    Raises UnavailableError; the old content then stands and nothing is left beside it.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise UnavailableError(f"cannot write {path}: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock at `path`: a file, made where absent, or a folder.

    Raises UnavailableError when another process holds it and not `wait`.
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
        except OSError as error:
            raise UnavailableError(f"another process holds {path}") from error
        yield
    finally:
        os.close(descriptor)
