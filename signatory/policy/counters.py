"""The limits that need what was signed before: how many in which time, and how far above the mark.

Both are values and pure functions. Who signs keeps the window of a key, asks under its lock, and puts the
answered window in place only for a request that no other rule refused.
"""

from bisect import bisect_right
from dataclasses import dataclass

from signatory.policy.values import KeyLimits, Outcome, Verdict

RATE = "limits.rate"
LEVEL_STEP = "limits.max_level_step"


def level_step(limits: KeyLimits, marked_level: int | None, level: int | None) -> Outcome:
    """Whether a level lies near enough above the mark of its slot.

    Without a mark any level passes, as there is nothing to count from; so does a request without a level.
    """
    step = limits.max_level_step
    if step is None:
        return Outcome(LEVEL_STEP, Verdict.UNSET)
    if marked_level is None or level is None or level <= marked_level + step:
        return Outcome(LEVEL_STEP, Verdict.PASSED)
    text = f"level {level} is more than {step} above the mark {marked_level}"
    return Outcome(LEVEL_STEP, Verdict.REFUSED, text, "max_level_step")


@dataclass(frozen=True, slots=True)
class Window:
    """When the last requests of one key passed: monotonic seconds, ascending, at most as many as the rate."""

    passed: tuple[float, ...] = ()

    def take(self, limits: KeyLimits, now: float) -> tuple[Outcome, "Window"]:
        """Whether one more may pass at `now`, and the window to keep if it is signed.

        In no `rate_seconds` do more than `rate` pass. A refusal answers a window that has not counted it.
        """
        rate, seconds = limits.rate, limits.rate_seconds
        if rate is None:
            return Outcome(RATE, Verdict.UNSET), NOTHING_PASSED
        if self.passed:
            now = max(now, self.passed[-1])  # a clock that went back must not unsort them
        kept = self.passed[bisect_right(self.passed, now - seconds) :][-rate:]
        if len(kept) < rate:
            return Outcome(RATE, Verdict.PASSED), Window((*kept, now))
        text = f"more than {rate} requests within {seconds:g} s are not allowed"
        return Outcome(RATE, Verdict.REFUSED, text, "rate"), Window(kept)

    def without(self, stamp: float) -> "Window":
        """The window after what passed at `stamp` came to nothing."""
        at = bisect_right(self.passed, stamp) - 1
        if at < 0 or self.passed[at] != stamp:
            return self
        return Window(self.passed[:at] + self.passed[at + 1 :])


NOTHING_PASSED = Window()
