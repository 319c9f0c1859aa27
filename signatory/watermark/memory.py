"""Marks that live as long as the process: for tests and for keys that never bake."""

from signatory.watermark.marks import Chain, advance
from signatory.watermark.rules import Mark
from signatory.watermark.store import IoObserver, ignore_io


class MemoryStore:
    """The store of `watermark: {driver: mem}`."""

    backend = "mem"

    def __init__(self) -> None:
        self.on_io: IoObserver = ignore_io
        self._chains: dict[str, Chain] = {}

    async def open(self) -> None:
        """There is nothing to load."""

    async def advance(self, chain: str, pkh: str, kind: str, mark: Mark) -> None:
        """See WatermarkStore. Raises WatermarkError."""
        self._chains[chain] = advance(self._chains.get(chain, {}), pkh, kind, mark)

    async def close(self) -> None:
        """Forget nothing: the marks stay until the process ends."""
