"""Limits that count: requests within a time, and levels above the mark."""

import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers, lists

from signatory.policy.counters import NOTHING_PASSED, Window, level_step
from signatory.policy.values import KeyLimits, Outcome, Verdict

PASSED = Outcome("limits.rate", Verdict.PASSED)
REFUSED = Outcome("limits.rate", Verdict.REFUSED, "more than 3 requests within 10 s are not allowed", "rate")
THREE = KeyLimits(rate=3, rate_seconds=10)


def run(limits: KeyLimits, times: list[float], window: Window = NOTHING_PASSED) -> tuple[list[bool], Window]:
    """Which of these would be signed, the window kept as who signs keeps it."""
    signed = []
    for now in times:
        outcome, after = window.take(limits, now)
        signed.append(not outcome.refused)
        window = window if outcome.refused else after
    return signed, window


def test_as_many_as_the_rate_pass_and_the_next_waits_for_the_first_to_be_old_enough() -> None:
    window = NOTHING_PASSED
    for now in (100.0, 101.0, 102.0):
        outcome, window = window.take(THREE, now)
        assert outcome == PASSED
    assert window.take(THREE, 109.9)[0] == REFUSED
    outcome, window = window.take(THREE, 110.0)
    assert outcome == PASSED
    assert window.take(THREE, 110.5)[0] == REFUSED


def test_a_refused_request_takes_no_place() -> None:
    assert run(THREE, [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10])[0] == (
        [True] * 3 + [False] * 9 + [True] * 3 + [False]
    )


def test_a_window_is_a_value_and_asking_alone_changes_nothing() -> None:
    window = Window((1.0,))
    window.take(THREE, 2.0)
    assert window == Window((1.0,))
    full = Window((1.0, 2.0, 3.0))
    assert full.take(THREE, 4.0) == (REFUSED, full)


def test_without_a_rate_nothing_is_counted_or_kept() -> None:
    assert Window((1.0, 2.0)).take(KeyLimits(), 3.0) == (
        Outcome("limits.rate", Verdict.UNSET),
        NOTHING_PASSED,
    )


def test_a_rate_that_a_reload_lowered_counts_what_passed_before() -> None:
    _, window = run(THREE, [0, 0, 0])
    lower = KeyLimits(rate=1, rate_seconds=10)
    assert window.take(lower, 5)[1] == Window((0,))
    assert run(lower, [5, 9.9, 10, 11], window)[0] == [False, False, True, False]


def test_a_clock_that_goes_back_makes_no_room() -> None:
    signed, window = run(KeyLimits(rate=2, rate_seconds=10), [100, 50, 51, 105])
    assert signed == [True, True, False, False]
    assert window.passed == (100, 100)


@given(
    times=lists(floats(0, 100, allow_nan=False), max_size=60),
    rate=integers(1, 6),
    seconds=floats(0.5, 40, allow_nan=False),
)
def test_no_span_of_time_has_more_than_the_rate_and_memory_is_bounded(
    times: list[float], rate: int, seconds: float
) -> None:
    times.sort()
    limits = KeyLimits(rate=rate, rate_seconds=seconds)
    signed, window = run(limits, times)
    assert len(window.passed) <= rate
    passed = [now for now, ok in zip(times, signed, strict=True) if ok]
    for position, now in enumerate(passed[rate:]):
        assert passed[position] <= now - seconds
    for now, ok in zip(times, signed, strict=True):  # and nothing is refused without need
        if not ok:
            assert sum(now - seconds < one <= now for one in passed) >= rate


@pytest.mark.parametrize(
    ("marked", "level", "verdict"),
    [
        (100, 100, Verdict.PASSED),
        (100, 105, Verdict.PASSED),
        (100, 106, Verdict.REFUSED),
        (100, 2**31 - 1, Verdict.REFUSED),
        (100, 5, Verdict.PASSED),  # the watermark refuses it, not this
        (0, 6, Verdict.REFUSED),
        (None, 2**31 - 1, Verdict.PASSED),
        (100, None, Verdict.PASSED),
    ],
)
def test_a_level_may_lie_so_far_above_the_mark(
    marked: int | None, level: int | None, verdict: Verdict
) -> None:
    outcome = level_step(KeyLimits(max_level_step=5), marked, level)
    assert outcome.verdict is verdict
    if verdict is Verdict.REFUSED:
        assert outcome.text == f"level {level} is more than 5 above the mark {marked}"
        assert (outcome.rule, outcome.violation) == ("limits.max_level_step", "max_level_step")


def test_without_a_step_every_level_passes() -> None:
    assert level_step(KeyLimits(), 1, 2**31 - 1).verdict is Verdict.UNSET


def test_what_is_given_back_makes_room_for_exactly_one_more() -> None:
    limits = KeyLimits(rate=2, rate_seconds=60)
    _, first = NOTHING_PASSED.take(limits, 1.0)
    _, both = first.take(limits, 2.0)
    assert both.take(limits, 3.0)[0].refused

    after = both.without(1.0)
    assert after.passed == (2.0,)
    again, full = after.take(limits, 3.0)
    assert (again.refused, full.take(limits, 4.0)[0].refused) == (False, True)
    assert both.without(1.5) == both
