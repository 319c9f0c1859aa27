"""Secrets from the operator: typed at the terminal without echo, or read from a file or a pipe."""

import getpass
import os
import sys
from pathlib import Path

from signatory.errors import ConfigError

MAX_INPUT = 1 << 20
"""Bytes of a key or password file that are read at most."""


def ask(prompt: str) -> str:
    """What the operator types at the terminal, not echoed. Raises ConfigError where there is no terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        what = prompt.strip().rstrip(":")
        raise ConfigError(
            f"there is no terminal to ask at: {what}", hint="give it by a file or a pipe"
        ) from None
    try:
        return getpass.getpass(prompt)
    except EOFError:
        raise ConfigError("nothing was typed") from None


def read_file(path: Path, what: str) -> bytes:
    """The whole file. Raises ConfigError, naming `what` was expected in it."""
    try:
        with path.open("rb") as file:
            return _limited(file.read(MAX_INPUT + 1), str(path))
    except OSError as error:
        raise ConfigError(f"cannot read {what} from {path}: {error.strerror}") from error


def read_pipe() -> bytes:
    """All of standard input. Raises ConfigError when it is too long."""
    return _limited(sys.stdin.buffer.read(MAX_INPUT + 1), "standard input")


def _limited(data: bytes, source: str) -> bytes:
    if len(data) > MAX_INPUT:
        raise ConfigError(f"{source} is longer than {MAX_INPUT} bytes")
    return data


def password_in(path: Path) -> str:
    """The first line of a password file. Raises ConfigError, also when it is empty or not UTF-8."""
    try:
        text = read_file(path, "the password").decode()
    except UnicodeDecodeError:
        raise ConfigError(f"the password file {path} is not UTF-8 text") from None
    line = text.splitlines()[0] if text else ""
    if not line:
        raise ConfigError(f"the password file {path} starts with an empty line")
    return line
