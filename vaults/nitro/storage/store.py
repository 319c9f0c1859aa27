"""A key store as the driver sees it: one that breaks while the vault runs keeps what it gave last."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from signatory.errors import IntegrityError, UnavailableError
from vaults.nitro.storage.record import SealedKey, Stock

logger = logging.getLogger(__name__)


class Store(Protocol):
    """Where sealed keys are kept. Both methods block; they are called in threads."""

    def load(self) -> Stock:
        """Raises IntegrityError for a store that cannot be understood, UnavailableError."""
        ...

    def add(self, key: SealedKey) -> None:
        """Add durably and read back. Raises MalformedError for a key that is there, and as `load`."""
        ...


class Shelf:
    """The store without its waits, and with a memory. `problems` says what is left out, a sentence each."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last: tuple[SealedKey, ...] | None = None
        self.problems: tuple[str, ...] = ()

    async def known(self) -> Sequence[SealedKey]:
        """The keys as stored now. Raises IntegrityError or UnavailableError if they never could be read."""
        try:
            stock = await asyncio.to_thread(self._store.load)
        except (IntegrityError, UnavailableError) as error:
            if self._last is None:
                raise
            stock = Stock(self._last, (error.message,))
        for problem in stock.problems:
            if problem not in self.problems:
                logger.error("Key store: %s", problem)
        self.problems, self._last = stock.problems, stock.keys
        return stock.keys

    async def add(self, key: SealedKey) -> None:
        """Raises as the store does."""
        await asyncio.to_thread(self._store.add, key)
