"""The story of a reload: read and judge everything, put it in force in one step, then list the keys again.

Whatever is wrong with the file, the configuration in force stays whole.
"""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from signatory.config.changes import left_for_restart, taken_over
from signatory.config.load import Config
from signatory.errors import SignatoryError, UnavailableError
from signatory.keyring import Keyring

logger = logging.getLogger("signatory")

READING = 30.0
"""Seconds to read and judge the file, and those that it names."""
MAX_ERROR = 4096
"""Characters of an error that are kept."""
SHOWN = 50
"""Names that are told at most."""

Put = Callable[[], None]
"""Puts in force what is already judged: some assignments, which cannot fail."""

Result = TypeVar("Result")


class Source(Protocol):
    """Where the configuration comes from."""

    def read(self) -> Config:
        """Read and judge it anew; blocks, and is called in a thread. Raises errors of ours."""
        ...

    def taken(self, config: Config) -> None:
        """It is in force now: what is outside the daemon may follow. Does not fail."""
        ...


class Unchanged:
    """The configuration of a daemon that has no file to read again."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def read(self) -> Config:
        """What it was started with."""
        return self._config

    def taken(self, config: Config) -> None:
        """Nothing follows."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one reload ended. `error` is empty where the file was taken over."""

    number: int
    at: datetime
    error: str = ""
    changed: tuple[str, ...] = ()
    """Paths of the file."""
    found: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    """Keys that the vaults list since, and list no more."""
    unlisted: Mapping[str, str] = field(default_factory=dict)
    """Vaults that could not list their keys, and why; they keep those they had."""
    restart: tuple[str, ...] = ()
    """Paths that differ from what the daemon was started with, and wait for its next start."""


@dataclass(frozen=True, slots=True)
class _Ready:
    config: Config
    put: Put


class Reloader:
    """One reload at a time."""

    def __init__(
        self,
        config: Config,
        source: Source,
        prepare: Callable[[Config], Put],
        keyring: Keyring,
        *,
        reading: float = READING,
    ) -> None:
        """`config` is in force. `prepare` judges what a new one needs, in a thread; raises errors of ours."""
        self._started = self._config = config
        self._source = source
        self._prepare = prepare
        self._keyring = keyring
        self._limit = reading
        self._reading: Future[_Ready] | None = None
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._closed = False
        self.number = 0
        """Of the reload that was begun last; they count from 1."""
        self.last: Outcome | None = None

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return self._task is not None and not self._task.done()

    def start(self) -> bool:
        """Begin a reload. False while one runs, and after `close`."""
        if self.running or self._closed:
            return False
        self.number += 1
        self._task = asyncio.get_running_loop().create_task(self._run())
        return True

    def hangup(self) -> None:
        """Begin a reload, or see to it that one follows the one that runs: that may have read the file."""
        if not self.start():
            self._again = True

    async def close(self) -> None:
        """End what runs; nothing is put in force afterwards. Idempotent."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._again = False
            self.last = await self._ended()
            if not self._again:
                return
            self.number += 1

    async def _ended(self) -> Outcome:
        try:
            return await self._once()
        except SignatoryError as error:
            return self._refused(f"{error}; {error.hint}" if error.hint else str(error))
        except Exception as error:
            logger.exception("Internal error")
            return self._refused(f"internal error: {type(error).__name__}")

    async def _once(self) -> Outcome:
        ready = await self._read_apart()
        keys = self._keys()
        ready.put()
        self._source.taken(ready.config)
        changed = taken_over(self._config, ready.config)
        restart = left_for_restart(self._started, ready.config)
        self._config = ready.config
        _tell(ready.config, changed, restart)
        unlisted = await self._keyring.refresh(anew=True)
        listed = self._keys()
        found = tuple(key for key in listed if key not in keys)
        gone = tuple(key for key in keys if key not in listed)
        for text, names in (("Keys found: %s", found), ("Keys gone: %s", gone)):
            if names:
                logger.info(text, shortened(names))
        return Outcome(self.number, datetime.now(UTC), "", changed, found, gone, unlisted, restart)

    def _refused(self, text: str) -> Outcome:
        text = text if len(text) <= MAX_ERROR else f"{text[:MAX_ERROR]}..."
        logger.error("Not reloaded, the configuration in force stays: %s", text)
        return Outcome(self.number, datetime.now(UTC), text)

    def _keys(self) -> dict[str, None]:
        return {entry.key.id: None for entry in self._keyring.list_all()}

    async def _read_apart(self) -> _Ready:
        """What is to be put in force. The thread is one of its own: a disk that hangs holds no other work."""
        if self._reading is not None and not self._reading.done():
            raise UnavailableError("an earlier reading of the configuration still hangs", hint="see its disk")

        def judged() -> _Ready:
            config = self._source.read()
            return _Ready(config, self._prepare(config))

        self._reading = in_thread(judged)
        try:
            async with asyncio.timeout(self._limit):
                return await asyncio.wrap_future(self._reading)
        except TimeoutError:
            text = f"the configuration was not read within {self._limit:g} s"
            raise UnavailableError(text, hint="see its disk") from None


def in_thread(work: Callable[[], Result]) -> "Future[Result]":
    """Do blocking work in a thread that does not hold the process at its end."""
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()  # who gives up waiting does not cancel it
    context = contextvars.copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            future.set_exception(error)

    threading.Thread(target=run, name="reload", daemon=True).start()
    return future


def shortened(names: tuple[str, ...]) -> str:
    """Names for people, not without end."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _tell(config: Config, changed: tuple[str, ...], restart: tuple[str, ...]) -> None:
    for text in config.warnings:
        logger.warning("%s", text)
    logger.info("Reloaded, changed: %s", shortened(changed) or "nothing")
    if restart:
        logger.warning("Changed, but needs a restart: %s", shortened(restart))
