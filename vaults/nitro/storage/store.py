"""A key store as the driver sees it: one that breaks while the vault runs keeps what it gave last."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from signatory.errors import IntegrityError, UnavailableError
from signatory.nitro.sealed import Scheme
from vaults.nitro.storage.file import FileStore
from vaults.nitro.storage.record import SealedKey, Stock

logger = logging.getLogger(__name__)


class Store(Protocol):
    """Where sealed keys are kept. Several processes may use one at once."""

    async def load(self) -> Stock:
        """Raises IntegrityError or ConfigError for a store that cannot be understood, UnavailableError."""
        ...

    async def add(self, key: SealedKey) -> None:
        """Add durably and read back. Raises MalformedError for a key that is there, and as `load`.

        Of two that add the same key at once, one is told so.
        """
        ...

    async def add_many(self, keys: Sequence[SealedKey]) -> None:
        """As `add`, with less work for many; where it raises, some of them may be there."""
        ...

    async def is_extended(self) -> bool:
        """Whether `remember_extended` was ever done here. Raises UnavailableError, ConfigError."""
        ...

    async def remember_extended(self) -> None:
        """Durably, that the vault has spoken the extended protocol. Raises also IntegrityError."""
        ...

    async def close(self) -> None:
        """Release everything; idempotent."""
        ...


class FilesInThreads:
    """A FileStore, which blocks, as a Store."""

    def __init__(self, files: FileStore) -> None:
        self._files = files

    async def load(self) -> Stock:
        """See Store; here and below."""
        return await asyncio.to_thread(self._files.load)

    async def add(self, key: SealedKey) -> None:
        await asyncio.to_thread(self._files.add, key)

    async def add_many(self, keys: Sequence[SealedKey]) -> None:
        await asyncio.to_thread(self._files.add_many, keys)

    async def is_extended(self) -> bool:
        return await asyncio.to_thread(self._files.is_extended)

    async def remember_extended(self) -> None:
        await asyncio.to_thread(self._files.remember_extended)

    async def close(self) -> None:
        """Nothing is held between calls."""


class Shelf:
    """A store with a memory. `problems` says what is left out, a sentence each."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last: tuple[SealedKey, ...] | None = None
        self.problems: tuple[str, ...] = ()

    async def known(self) -> Sequence[SealedKey]:
        """The keys as stored now. Raises as Store.load if they never could be read."""
        try:
            stock = await self._store.load()
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
        """See Store; here and below."""
        await self._store.add(key)

    async def is_extended(self) -> bool:
        """Also where a key can only come from the extended protocol: in a copy, or if the mark was lost."""
        if any(key.birth or key.scheme is not Scheme.KMS_ENCRYPT for key in self._last or ()):
            return True
        return await self._store.is_extended()

    async def remember_extended(self) -> None:
        await self._store.remember_extended()

    async def close(self) -> None:
        await self._store.close()
