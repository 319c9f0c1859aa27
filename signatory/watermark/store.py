"""What keeps the high-water marks: the seam between the sign story and a disk or a table."""

from collections.abc import Callable
from typing import Protocol

from signatory.watermark.rules import Mark

IoObserver = Callable[[str, float, str], None]
"""Told of one `read`, `write` or `create` of a backend: which, the seconds it took, the type of its error.

The type is the system's name, such as `ENOSPC`, or the class of the error; empty where it worked.
"""

REFUSED = "watermark validation failed"
"""What a client reads when its request is not above the mark; the numbers are in the log."""


class WatermarkStore(Protocol):
    """Marks by chain, key and request kind. Opened once, by the daemon; closed once."""

    backend: str
    """The name in metrics: `file`, `mem`."""

    on_io: IoObserver
    """Called from any thread after each read or write; the daemon sets it before `open`."""

    async def open(self) -> None:
        """Load the marks, take them for this process; idempotent. Raises ConfigError, UnavailableError."""
        ...

    async def advance(self, chain: str, pkh: str, kind: str, mark: Mark) -> None:
        """Let `mark` become the mark of this chain, key and kind; on return it is durable.

        The kinds of one slot (both forms of attestation) are compared with each other. Raises WatermarkError
        when the mark is not above what is stored, UnavailableError when it cannot be made durable.
        """
        ...

    async def close(self) -> None:
        """Let go of the marks; idempotent. An `advance` under way completes first."""
        ...


def ignore_io(operation: str, seconds: float, error_type: str) -> None:
    """The observer of a store that nobody observes."""
