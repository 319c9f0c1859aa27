"""When the stack is told to stop: the first SIGINT or SIGTERM, and a later one that does not wait."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

AT_ONCE = 1.0
"""Seconds in which signals count as one: make passes on the SIGTERM that the whole process group got."""


@dataclass(slots=True)
class Told:
    """Sets `stop` at the first signal, and `hurry` at one that comes AT_ONCE after it or later.

    `clock` gives seconds that never go back.
    """

    hurry: asyncio.Event
    clock: Callable[[], float]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    _first: float = 0.0

    def signal(self) -> None:
        """One of the signals has come."""
        if not self.stop.is_set():
            self._first = self.clock()
            self.stop.set()
        elif self.clock() - self._first >= AT_ONCE:
            self.hurry.set()


def told_to_stop(hurry: asyncio.Event) -> asyncio.Event:
    """Listen to SIGINT and SIGTERM in the running loop; the event of the first one."""
    loop = asyncio.get_running_loop()
    told = Told(hurry, loop.time)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.signal)
    return told.stop
