"""How often somebody may fail to say who he is: buckets of failures, bounded in number.

A bucket belongs to a user *at an address*, so nobody locks a user out from another place. Names that are no
user share one bucket for each address. A second, larger bucket belongs to the address alone; a failure that
the first bucket turned away does not reach it, so who names one user for ever leaves the others their turn.
"""

import functools
import ipaddress
from collections.abc import Hashable
from dataclasses import dataclass

from signatory.limits import Limits


@dataclass(frozen=True, slots=True)
class Rate:
    """So many failures at once, and one more after each so many seconds."""

    burst: int
    pause: float


class Buckets:
    """One bucket per key. Time is handed in, monotonic, in seconds.

    What is kept of a bucket is the moment at which it is full again; one that is full is not kept at all.
    """

    def __init__(self, rate: Rate, most: int) -> None:
        """`most` buckets are kept; beyond it the one that failed least recently is forgotten."""
        self._rate = rate
        self._most = most
        self._full_at: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def wait(self, key: Hashable, now: float) -> float:
        """Seconds until this key may fail once more; 0 when it may now."""
        full_at = self._full_at.get(key)
        if full_at is None:
            return 0.0
        return max(0.0, full_at - now - (self._rate.burst - 1) * self._rate.pause)

    def failed(self, key: Hashable, now: float) -> None:
        """Take one failure out of the bucket."""
        full_at = max(self._full_at.pop(key, now), now)
        if len(self._full_at) >= self._most:
            del self._full_at[next(iter(self._full_at))]
        self._full_at[key] = full_at + self._rate.pause


class Throttle:
    """The two buckets that a failure passes: of the user at the address, and of the address."""

    def __init__(self, limits: Limits) -> None:
        self._pairs = Buckets(Rate(limits.failures, limits.failure_pause), limits.failing)
        self._addresses = Buckets(Rate(limits.address_failures, limits.address_pause), limits.failing)

    def wait(self, user: str | None, source: str, now: float) -> float:
        """Seconds until one more failure is allowed; `user` is None for every name that is no user's."""
        place = network(source)
        return max(self._pairs.wait((user, place), now), self._addresses.wait(place, now))

    def failed(self, user: str | None, source: str, now: float) -> None:
        """Somebody failed whom `wait` did not turn away."""
        place = network(source)
        self._pairs.failed((user, place), now)
        self._addresses.failed(place, now)


@functools.lru_cache(maxsize=1024)
def network(source: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that an IPv6 host chooses its own from."""
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return source
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))
