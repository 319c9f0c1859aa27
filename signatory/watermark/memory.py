"""Marks that live as long as the process: for tests and for keys that never bake."""

from signatory.errors import UnavailableError
from signatory.watermark import marks
from signatory.watermark.marks import Chain
from signatory.watermark.rules import Mark
from signatory.watermark.store import IoObserver, Marks, ignore_io


class MemoryStore:
    """The store of `watermark: {driver: mem}`."""

    backend = "mem"
    table = ""

    def __init__(self) -> None:
        self.on_io: IoObserver = ignore_io
        self._chains: dict[str, Chain] = {}
        self._closed = False

    async def open(self) -> None:
        """There is nothing to load."""
        self._closed = False

    async def advance(self, chain: str, pkh: str, kind: str, mark: Mark) -> None:
        """See WatermarkStore. Raises WatermarkError."""
        if self._closed:
            raise UnavailableError("the watermark store is closed")
        self._chains[chain] = marks.advance(self._chains.get(chain, {}), pkh, kind, mark)

    async def current(self, chain: str, pkh: str, kind: str) -> Mark | None:
        """See WatermarkStore."""
        return marks.highest(self._chains.get(chain, {}).get(pkh, {}), kind)

    async def lift(self, lifted: Marks) -> int:
        """See WatermarkStore."""
        chains, rose = marks.lift(self._chains, lifted)
        self._chains = dict(chains)
        return rose

    async def inspect(self) -> Marks:
        """See WatermarkStore."""
        return marks.copy(self._chains)

    async def close(self) -> None:
        """Let nothing more through. Forgets nothing: the marks stay until the process ends."""
        self._closed = True
