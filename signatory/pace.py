"""How often each key signs: what was counted, kept between requests."""

import time
from collections.abc import Callable

from signatory.policy.counters import NOTHING_PASSED, Window
from signatory.policy.values import KeyLimits, Outcome


class Pace:
    """The windows of all keys. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[str, Window] = {}

    def take(self, address: str, limits: KeyLimits) -> tuple[Outcome, float | None]:
        """Count one more, where the rate of the key allows it; and the stamp to give back."""
        outcome, window = self._windows.get(address, NOTHING_PASSED).take(limits, self._clock())
        if outcome.refused or limits.rate is None:
            return outcome, None
        self._windows[address] = window
        return outcome, window.passed[-1]

    def give_back(self, address: str, stamp: float | None) -> None:
        """What was counted came to nothing."""
        if stamp is not None and (window := self._windows.get(address)) is not None:
            self._windows[address] = window.without(stamp)
