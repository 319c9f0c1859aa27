"""What every test shares: property tests without a clock, the recursion limit of the real programs."""

import sys

from hypothesis import HealthCheck, settings

_LIMIT = sys.getrecursionlimit()
import py_ecc.optimized_bls12_381  # noqa: E402, F401  # raises the limit to 100,000, where hostile nesting ends in a crash

sys.setrecursionlimit(_LIMIT)

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
