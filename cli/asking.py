"""Secrets from the operator: typed at the terminal without echo, or read from a file or a pipe."""

import contextlib
import getpass
import os
import queue
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from signatory.errors import ConfigError, UnavailableError

Used = TypeVar("Used")

MAX_INPUT = 1 << 20
"""Bytes of a key or password file that are read at most."""

BY_FILE_OR_PIPE = "give it by a file or a pipe"
TO_A_VAULT = "start it at a terminal; a `file` vault can take the password from a `password_file`"


def ask(prompt: str, hint: str = BY_FILE_OR_PIPE) -> str:
    """What the operator types at the terminal, not echoed. Raises ConfigError where there is no terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        what = prompt.strip().rstrip(":")
        raise ConfigError(f"there is no terminal to ask at: {what}", hint=hint) from None
    try:
        return getpass.getpass(prompt)
    except EOFError:
        raise ConfigError("nothing was typed") from None


class Terminal:
    """The operator's terminal for a vault that needs a password while the rest of the program goes on.

    Questions come one at a time. `close` frees whoever waits and gives the terminal back as it was, so that a
    signal ends the program also in the middle of a question.
    """

    def __init__(self) -> None:
        self._waiting: set[queue.SimpleQueue[str | ConfigError | None]] = set()
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._closed = False
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, prompt: str) -> str:
        """As the function `ask`, from any thread. Raises UnavailableError after `close`."""
        answers: queue.SimpleQueue[str | ConfigError | None] = queue.SimpleQueue()
        with self._lock:
            if self._closed:
                answers.put(None)
            else:
                self._waiting.add(answers)
                # A daemon: nothing interrupts a read from the terminal, yet the program must end.
                threading.Thread(target=self._ask, args=(prompt, answers), daemon=True).start()
        answer = answers.get()
        with self._lock:
            self._waiting.discard(answers)
        if answer is None:
            raise UnavailableError("nobody is asked any more: the program ends")
        if isinstance(answer, ConfigError):
            raise answer
        return answer

    def close(self) -> None:
        """Free whoever waits; idempotent."""
        with self._lock:
            self._closed = True
            for answers in self._waiting:
                answers.put(None)
            before, self._before = self._before, None
        if before is not None:
            with contextlib.suppress(OSError, termios.error):
                _on_terminal(lambda terminal: termios.tcsetattr(terminal, termios.TCSANOW, before))

    def _ask(self, prompt: str, answers: "queue.SimpleQueue[str | ConfigError | None]") -> None:
        with self._turn:
            if self._closed:
                return
            try:
                with contextlib.suppress(OSError, termios.error):
                    self._before = _on_terminal(termios.tcgetattr)
                answers.put(ask(prompt, TO_A_VAULT))
            except ConfigError as error:
                answers.put(error)
            finally:
                self._before = None


def _on_terminal(use: Callable[[int], Used]) -> Used:
    terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return use(terminal)
    finally:
        os.close(terminal)


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
