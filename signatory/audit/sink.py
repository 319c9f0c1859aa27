"""The audit seam: an intent is durable before the vault is asked, an outcome before a signature leaves."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be done: which key signs what for whom."""

    request_id: str
    public_key_hash: str
    vault: str
    kind: str
    source: str
    client_key_hash: str | None
    message: bytes = field(repr=False)


class AuditSink(Protocol):
    """Somebody who writes down what was signed."""

    async def intent(self, intent: Intent) -> None:
        """Make the intent durable. Raises UnavailableError, and then nothing is signed."""
        ...

    async def outcome(self, intent: Intent, outcome: str) -> None:
        """Make the outcome durable: `signed`, or the kind of the error. Raises UnavailableError."""
        ...


class NoAudit:
    """Nothing is written down."""

    async def intent(self, intent: Intent) -> None:
        """Accept."""

    async def outcome(self, intent: Intent, outcome: str) -> None:
        """Accept."""
