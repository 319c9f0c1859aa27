"""The enclave's only way out: a pipe from a local address to one host and port, KMS. It sees TLS only.

The host is resolved for every connection, over all its addresses. Where the local address is served already,
by the daemon while a command runs or the other way round, that one is used, and taken over once it is gone.
"""

import asyncio
import contextlib
import logging
import socket
from dataclasses import dataclass

from signatory.errors import UnavailableError
from signatory.net.vsock import Address, AddressTakenError, listen

logger = logging.getLogger(__name__)

CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class ProxyLimits:
    """Seconds, and a number of connections."""

    dial: float = 10.0
    """To connect to the remote end, over all its addresses."""
    address: float = 1.0
    """To connect to one of them, when there is another one to try."""
    idle: float = 300.0
    """Without a byte in either direction."""
    connections: int = 64
    """At a time; one more is closed at once."""
    takeover: float = 2.0
    """Between two looks at an address that another process serves."""


PROXY_LIMITS = ProxyLimits()


class Proxy:
    """`start` it once; `served_elsewhere` while another process serves the address."""

    def __init__(self, local: Address, remote: tuple[str, int], limits: ProxyLimits = PROXY_LIMITS) -> None:
        self.local, self.remote, self.limits = local, remote, limits
        self.served_elsewhere = False
        self._server: asyncio.Server | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self) -> None:
        """Listen, or use the one who does. Raises UnavailableError when the address cannot be used at all."""
        if not await self._try():
            logger.info("The proxy at %s is served by another process; it is used", self.local)
            self._waiting = asyncio.create_task(self._take_over())

    async def close(self) -> None:
        """Stop listening and end every pipe; idempotent."""
        self._closed = True
        server, self._server = self._server, None
        if server is not None:
            server.close()
        tasks = [*self._pipes, *([self._waiting] if self._waiting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if server is not None:
            await server.wait_closed()

    async def _try(self) -> bool:
        try:
            self._server = await listen(self._accept, self.local)
        except AddressTakenError:
            self.served_elsewhere = True
            return False
        self.served_elsewhere = False
        return True

    async def _take_over(self) -> None:
        while True:
            await asyncio.sleep(self.limits.takeover)
            with contextlib.suppress(UnavailableError):
                if await self._try():
                    logger.info("The proxy at %s is served by this process now", self.local)
                    return

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Not a coroutine: a connection must be known, and be closed, even if its task never gets to run."""
        if self._closed:  # it was accepted before, and is handed over after
            writer.transport.abort()
            return
        if len(self._pipes) >= self.limits.connections:
            logger.warning("The proxy at %s has %d connections and refuses one", self.local, len(self._pipes))
            writer.transport.abort()
            return
        task = asyncio.create_task(self._pipe(reader, writer))
        self._pipes.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._pipes.discard(task)
            writer.transport.abort()
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("A connection of the proxy broke", exc_info=error)

        task.add_done_callback(ended)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self.remote
        try:
            async with asyncio.timeout(self.limits.dial):
                far_reader, far_writer = await _reach(host, port, self.limits.address)
        except (OSError, TimeoutError) as error:
            logger.warning("The proxy cannot reach %s:%d: %s", host, port, str(error) or "no answer in time")
            return
        try:
            if await _Flow(self.limits.idle).both((reader, far_writer), (far_reader, writer)):
                # abort would drop what is written and not yet sent
                await asyncio.gather(_flush(writer, self.limits.idle), _flush(far_writer, self.limits.idle))
        finally:
            far_writer.transport.abort()


async def _reach(host: str, port: int, each: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream to the first address that answers; all but the last have `each` seconds. Raises OSError.

    One after the other: asyncio's own race over them loses a connected socket when it is cancelled.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    *others, last = dict.fromkeys(str(address[0]) for *_, address in found)
    for other in others:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(each):
                return await asyncio.open_connection(other, port)
    return await asyncio.open_connection(last, port)


class _Flow:
    """Both directions of one connection; each ends by itself, and both end when nothing moves in either."""

    def __init__(self, idle: float) -> None:
        self._idle = idle
        self._now = asyncio.get_running_loop().time
        self._moved = self._now()

    async def both(self, *directions: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bool:
        """Whether both ended in order."""
        tasks = [asyncio.create_task(self._one(*direction)) for direction in directions]
        try:
            # A broken direction ends both; one that ended in order leaves the other to its own end.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        return results == [None, None]

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await self._read(reader):
            writer.write(data)
            async with asyncio.timeout(self._idle):
                await writer.drain()
            self._moved = self._now()
        if writer.can_write_eof():
            writer.write_eof()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        """The next bytes, empty at the end. Raises TimeoutError when nothing moved for too long."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._moved + self._idle):
                    data = await reader.read(CHUNK)
                self._moved = self._now()
                return data
            if self._now() >= self._moved + self._idle:
                raise TimeoutError("idle for too long")


async def _flush(writer: asyncio.StreamWriter, within: float) -> None:
    """Close once everything is sent, or after that many seconds."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(within):
            await writer.wait_closed()
