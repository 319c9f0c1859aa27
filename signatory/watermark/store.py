"""What keeps the high-water marks: the seam between the sign story and a disk or a table."""

from collections.abc import Callable, Mapping
from typing import Protocol

from signatory.watermark.marks import Chain
from signatory.watermark.rules import Mark

IoObserver = Callable[[str, float, str], None]
"""Told of one `read`, `write` or `create` of a backend: which, the seconds it took, the type of its error.

The type is the system's name, such as `ENOSPC`, or the class of the error; empty where it worked.
"""

REFUSED = "watermark validation failed"
"""What a client reads when its request is not above the mark; the numbers are in the log."""


Marks = Mapping[str, Chain]
"""Every mark of a store: chain id, then public key hash, then request kind, to mark."""


class WatermarkStore(Protocol):
    """Marks by chain, key and request kind. Opened once, by the daemon or a command; closed once."""

    backend: str
    """The name in metrics: `file`, `mem`, `aws`."""

    table: str
    """The name of the table in metrics; empty for a store that has none."""

    on_io: IoObserver
    """Called from any thread after each read or write; the daemon sets it before `open`."""

    async def open(self) -> None:
        """Load the marks, take them for this process; idempotent. Raises ConfigError, UnavailableError."""
        ...

    async def advance(self, chain: str, pkh: str, kind: str, mark: Mark) -> None:
        """Let `mark` become the mark of this chain, key and kind; on return it is durable.

        The kinds of one slot (both forms of attestation) are compared with each other. Raises WatermarkError
        when the mark is not above what is stored, UnavailableError when it cannot be made durable. The very
        same request at the current mark passes again, and it too only once its mark is durable.
        """
        ...

    async def current(self, chain: str, pkh: str, kind: str) -> Mark | None:
        """The highest mark of the slot of this kind, None where there is none. Raises UnavailableError."""
        ...

    async def lift(self, marks: Marks) -> int:
        """Let no mark be lower than the one given for it; durable on return. Never lowers one.

        A mark at the place of the given one, and not with its hash, loses its own: something else may have
        been signed there. For commands, between `open` and `close`. Returns how many marks changed. Raises
        UnavailableError.
        """
        ...

    async def inspect(self) -> Marks:
        """Every mark as it stands now, also while another process holds the store, and without `open`.

        Raises ConfigError for marks that cannot be read, UnavailableError for a store that does not answer.
        """
        ...

    async def close(self) -> None:
        """Let go of the marks; idempotent. An `advance` under way completes first."""
        ...


def ignore_io(operation: str, seconds: float, error_type: str) -> None:
    """The observer of a store that nobody observes."""
