"""Work that several wait for and that is done once."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(slots=True, eq=False)
class _Flight(Generic[_Value]):
    task: asyncio.Task[_Value]
    waiting: int = 0


class Flights(Generic[_Key, _Value]):
    """What is under way, by name. Nothing that has ended is kept: neither a result nor a failure."""

    def __init__(self) -> None:
        self._under_way: dict[_Key, _Flight[_Value]] = {}

    async def join(self, key: _Key, begin: Callable[[], Coroutine[Any, Any, _Value]]) -> _Value:
        """The result of the work under way by that name, begun here where there is none; its errors pass.

        Whoever stops waiting leaves the others alone. When nobody waits any more, the work is cancelled.
        """
        flight = self._under_way.get(key)
        if flight is None:
            flight = _Flight(asyncio.get_running_loop().create_task(begin()))
            flight.task.add_done_callback(_look_at)
            self._under_way[key] = flight
        flight.waiting += 1
        try:
            await asyncio.wait([flight.task])
        finally:
            flight.waiting -= 1
            if (flight.task.done() or not flight.waiting) and self._under_way.get(key) is flight:
                del self._under_way[key]
            if not flight.waiting:
                flight.task.cancel()
        return flight.task.result()


def _look_at(task: asyncio.Task[Any]) -> None:
    """A failure that nobody waits for any more is no news for the loop's log."""
    if not task.cancelled():
        task.exception()
