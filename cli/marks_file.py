"""A document of marks on disk, or at a pipe: read whole within a limit, written whole or not at all."""

import sys
from pathlib import Path

from cli import marks_document
from signatory.errors import ConfigError, MalformedError, SignatoryError
from signatory.files import replace_durably
from signatory.watermark.store import Marks


def read(file: Path, chain: str | None) -> Marks:
    """The marks in a file or, for `-`, at standard input. With `chain` it is a file of Signatory's.

    Raises ConfigError.
    """
    data = _bytes(file)
    try:
        return marks_document.decode_chain(chain, data) if chain else marks_document.decode(data)
    except MalformedError as error:
        raise ConfigError(f"{file}: {error}", hint=error.hint) from None


def write(file: Path, data: bytes, *, force: bool) -> None:
    """Durably and for the owner alone. Raises ConfigError for a file that is there, unless `force`."""
    if force:
        replace_durably(file, data)
        return
    try:
        file.touch(mode=0o600, exist_ok=False)  # takes the name, so that nobody else's file is replaced
    except FileExistsError:
        raise ConfigError(f"{file} is there already", hint="choose another name, or use --force") from None
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from error
    try:
        replace_durably(file, data)
    except SignatoryError:
        file.unlink(missing_ok=True)
        raise


def _bytes(file: Path) -> bytes:
    limit = marks_document.MAX_BYTES
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the marks from {file}: {error.strerror}") from error
    if len(data) > limit:
        raise ConfigError(f"{file} is longer than {limit} bytes")
    return data
