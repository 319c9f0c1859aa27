"""The policy hook: somebody outside who is asked before every signature. The seam."""

from dataclasses import dataclass, field
from typing import Protocol

from signatory.vault import Call


@dataclass(frozen=True, slots=True)
class Question:
    """What the hook is asked: may this client have this message signed by this key?

    `message` is None for a proof of possession, `client_key_hash` where clients are not authenticated.
    """

    public_key_hash: str
    source: str
    client_key_hash: str | None
    message: bytes | None = field(repr=False)


class Hook(Protocol):
    """Somebody who may refuse."""

    async def ask(self, question: Question, call: Call) -> None:
        """Return to allow. Raises DeniedError to refuse, another of our errors for want of an answer."""
        ...


class NoHook:
    """Nobody is asked; policy alone decides."""

    async def ask(self, question: Question, call: Call) -> None:
        """Allow."""
