"""Every limit of the daemon in one place, with its unit."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may take, and how long anything may last. Tests make their own, smaller ones."""

    body: int = 512 * 1024
    """Bytes of a request body; above it 413."""
    small_body: int = 80 * 1024
    """Bytes of a body for which there is always room: the longest operation, 32 KiB, in hex."""
    bodies: int = 32 * 1024 * 1024
    """Bytes of all bodies being read or answered by one listener; beyond it a longer body gets 503."""
    headers: int = 16 * 1024
    """Bytes of a request line and its headers, however many they are; above it 431."""
    connections: int = 1000
    """Open connections of one listener; beyond it the one that waits longest for its client gives way.

    Where none waits for its client, the new one gets 503.
    """
    read: float = 10.0
    """Seconds from the first byte of a request to its last."""
    write: float = 10.0
    """Seconds in which a client must take what is written to it."""
    idle: float = 60.0
    """Seconds a connection may stay open with nothing to do."""
    request: float = 30.0
    """Seconds from the last byte of a request to its answer; above it 503."""
    linger: float = 1.0
    """Seconds for which the rest of a refused body is read and dropped: so the client reads the refusal."""
    drain: float = 10.0
    """Seconds a stopping daemon gives the requests under way."""
    trouble: float = 30.0
    """Seconds for which the daemon is not ready after a mark could not be written, unless one was since."""

    failures: int = 20
    """Failed logins, or tokens that are not good, of one user from one address in a row; above it 429."""
    failure_pause: float = 3.0
    """Seconds after which one more such failure is allowed."""
    address_failures: int = 200
    """The same from one address, whichever users it names."""
    address_pause: float = 0.5
    """Seconds after which one more of those is allowed."""
    failing: int = 10_000
    """Users and addresses whose failures are remembered; beyond it the oldest are forgotten."""
    tokens: int = 4096
    """Good tokens that are remembered, so that they need not be verified again."""

    @property
    def header_count(self) -> int:
        """Headers that the parser takes: none is shorter than `a:` and its CRLF, so `headers` decides."""
        return self.headers // 4

    @property
    def sent(self) -> int:
        """Bytes of a request as it is sent, with the sizes of its chunks and its trailers; above it 413."""
        return 2 * (self.headers + self.body)


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class KeyringLimits:
    """How patient the keyring is with its vaults; all in seconds."""

    opening: float = 30.0
    """For a vault to open."""
    listing: float = 10.0
    """For a vault to list its keys."""
    first_retry: float = 1.0
    """Until a vault that did not open is tried again; doubles each time, with jitter."""
    last_retry: float = 30.0
    """What the doubling ends at."""
    miss: float = 5.0
    """After a search that listed every vault, how long an unknown key is answered without listing again."""


KEYRING_LIMITS = KeyringLimits()
