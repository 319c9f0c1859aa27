"""What every test shares: a log of its own, properties without a clock, the programs' recursion limit."""

import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

_LIMIT = sys.getrecursionlimit()
import py_ecc.optimized_bls12_381  # noqa: E402, F401  # raises the limit to 100,000, where hostile nesting ends in a crash

sys.setrecursionlimit(_LIMIT)

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """A command run inside this process sets up the log; the next test must not write to its streams."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
