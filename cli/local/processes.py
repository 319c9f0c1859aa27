"""The supervisor's children: on a leash, each with its log, stopped in reverse order, always reaped."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from signatory.errors import UnavailableError

GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL."""

START_TIMEOUT = 60.0
"""Seconds within which a child must say that it listens."""

_POLL = 0.02
_LISTENING = re.compile(rb"^listening on (\S+)$", re.MULTILINE)
_MAX_TAIL = 65536
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


class ChildDiedError(UnavailableError):
    """A process of the stack ended by itself."""

    def __init__(self, child: "Child") -> None:
        last = last_line(child.log)
        super().__init__(
            f"the process `{child.name}` ended with code {child.process.returncode}: {last}",
            hint=f"its log is {child.log}",
        )


@dataclass(frozen=True, slots=True)
class Child:
    """One process. `ended` is set once it is reaped."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Children:
    """All processes of one stack. `hurry` skips the grace of those that are asked to stop."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._all: list[Child] = []
        self._died = asyncio.Event()
        self._stopping = False
        self.hurry = asyncio.Event()

    def start(self, name: str, module: str, *arguments: str) -> Child:
        """Start `python -I -m MODULE ARGUMENTS`. Raises UnavailableError."""
        log = self._logs / f"{name}.log"
        command = [sys.executable, "-I", "-m", "cli.local.leash", str(os.getpid()), module, *arguments]
        try:
            with contextlib.suppress(FileNotFoundError):
                log.replace(log.with_suffix(".log.1"))
            descriptor = os.open(
                log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            try:
                # Its own session: Ctrl-C reaches the supervisor alone, which then stops all in order.
                process = subprocess.Popen(  # noqa: S603  our own modules only
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=descriptor,
                    stderr=descriptor,
                    env=_environment(os.environ),
                    start_new_session=True,
                )
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UnavailableError(f"cannot start {name}: {error.strerror}") from error
        child = Child(name, process, log)
        self._all.append(child)
        self._watch(child)
        return child

    async def listening(self, child: Child) -> str:
        """The address that the child says it listens on. Raises ChildDiedError, UnavailableError."""
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while not (found := _LISTENING.search(_tail(child.log))):
                    self.check()
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise UnavailableError(f"{child.name} does not listen after {START_TIMEOUT:g} s") from None
        return found[1].decode()

    def check(self) -> None:
        """Raises ChildDiedError when one of them has ended."""
        for child in self._all:
            if child.ended.is_set():
                raise ChildDiedError(child)

    async def first_death(self) -> None:
        """Wait until one ends by itself. Raises ChildDiedError."""
        await self._died.wait()
        self.check()

    async def stop(self) -> list[str]:
        """Stop all, the last started first: SIGTERM, and SIGKILL after GRACE or at once when in a hurry.

        Returns the names of those that had to be killed.
        """
        self._stopping = True
        killed = []
        for child in reversed(self._all):
            if not child.ended.is_set():
                child.process.terminate()
                await _first(child.ended, self.hurry, GRACE)
            if not child.ended.is_set():
                killed.append(child.name)
                child.process.kill()
                await child.ended.wait()
        return killed

    def _watch(self, child: Child) -> None:
        """Reap the child when it ends: a pidfd becomes readable then."""
        loop, descriptor = asyncio.get_running_loop(), os.pidfd_open(child.process.pid)

        def reap() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            child.process.wait()
            child.ended.set()
            if not self._stopping:
                self._died.set()

        loop.add_reader(descriptor, reap)


def last_line(log: Path) -> str:
    """The last line of a log that says something, at most 500 characters."""
    lines = [line for line in _tail(log).decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:500] if lines else "it said nothing"


async def _first(one: asyncio.Event, other: asyncio.Event, seconds: float) -> None:
    waiting = [asyncio.create_task(one.wait()), asyncio.create_task(other.wait())]
    await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


def _tail(log: Path) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _MAX_TAIL))
            return file.read(_MAX_TAIL)
    except OSError:
        return b""


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the operator's AWS or signer settings may leak into the laptop's stack."""
    return {name: ours[name] for name in _PASSED_ON if name in ours}
