"""When the stack stops, and when it stops in a hurry: by a clock that the test turns."""

import asyncio
from collections.abc import Sequence

import pytest

from cli.local.stack_signals import Told


def told_at(*seconds: float) -> tuple[bool, bool]:
    """Whether to stop, and to hurry, after signals at these times."""
    times = iter(seconds)
    told = Told(asyncio.Event(), lambda: next(times))
    for _ in seconds:
        told.signal()
    return told.stop.is_set(), told.hurry.is_set()


def test_without_a_signal_nothing_stops() -> None:
    assert told_at() == (False, False)


@pytest.mark.parametrize("times", [(7.0,), (7.0, 7.0), (7.0, 7.01, 7.999), (0.0, 0.5)])
def test_signals_within_a_second_count_as_one(times: Sequence[float]) -> None:
    assert told_at(*times) == (True, False)


@pytest.mark.parametrize("times", [(7.0, 8.0), (7.0, 300.0), (7.0, 7.01, 8.5), (0.0, 1.0)])
def test_a_later_signal_does_not_wait(times: Sequence[float]) -> None:
    assert told_at(*times) == (True, True)
