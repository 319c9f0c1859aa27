"""The stream of one host: frames in and frames out, each within its time."""

import asyncio
from collections.abc import Callable

from signatory.rpc.wire import HEADER, body_length, put_frame


class Frames:
    """One connection. A begun request, and a reply, have `seconds` each; longer ones are a TimeoutError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
        self._reader = reader
        self._writer = writer
        self._seconds = seconds
        self._turn = asyncio.Lock()

    async def take(self, limit: int, may_idle: Callable[[], bool]) -> bytes | None:
        """The next body, of at most `limit` bytes; None where the stream ends before or inside a header.

        `may_idle` says whether the host may be silent for longer: connections are few, and idle ones would
        keep others out. Raises FrameTooLongError, TimeoutError, and OSError or EOFError for a broken stream.
        """
        start = await self._begin(may_idle)
        if not start:
            return None
        async with asyncio.timeout(self._seconds):
            try:
                header = start + await self._reader.readexactly(HEADER - len(start))
            except asyncio.IncompleteReadError:
                return None
            return await self._reader.readexactly(body_length(header, limit))

    async def put(self, body: bytes) -> None:
        """Send a reply after those before it, and wait until the host has taken enough of them."""
        async with self._turn:
            self._writer.write(put_frame(body))
            async with asyncio.timeout(self._seconds):
                await self._writer.drain()

    async def settle(self) -> None:
        """Wait until the host has taken enough of what `put` sent."""
        async with self._turn:
            return

    async def hang_up(self) -> None:
        """Send what is left, and close."""
        async with asyncio.timeout(self._seconds):
            self._writer.close()
            await self._writer.wait_closed()

    def cut(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    async def _begin(self, may_idle: Callable[[], bool]) -> bytes:
        while True:
            limit = asyncio.timeout(None if may_idle() else self._seconds)
            try:
                async with limit:
                    return await self._reader.read(HEADER)
            except TimeoutError:  # the system's own, ETIMEDOUT, is one too, and comes again at every reading
                if not (limit.expired() and may_idle()):
                    raise
