"""TLS handshakes that cannot be held: counted and timed like connections, which they are to become."""

import asyncio
import logging
import ssl
from asyncio.sslproto import SSLProtocol
from typing import Protocol

from signatory.limits import Limits

logger = logging.getLogger(__name__)

# asyncio takes a buffer of 256 KiB for each TLS connection before its client has said a word, and keeps it
# until the garbage collector comes by: silent clients cost a gigabyte. A record of TLS has 16 KiB.
SSLProtocol.max_size = 16 * 1024


class Host(Protocol):
    """Where handshakes are counted, and what takes over from them."""

    opening: set["Handshake"]

    def make_room(self) -> bool:
        """Whether one more client fits."""
        ...

    def secured(self, transport: asyncio.Transport, wire: asyncio.Transport) -> asyncio.Protocol:
        """The connection of a client that is through, already made; `wire` is what is below its TLS."""
        ...


class Handshake(asyncio.Protocol):
    """One client between its connection and the end of its handshake.

    asyncio's servers would begin TLS by themselves, but nobody could count the clients that never end it.
    """

    def __init__(self, host: Host, context: ssl.SSLContext, limits: Limits) -> None:
        self._host = host
        self._context = context
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._wire: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or refuse when there are too many: before TLS there is no way to say why."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what asyncio's servers make
        if not self._host.make_room():
            transport.abort()
            return
        transport.pause_reading()  # until TLS reads
        transport.set_write_buffer_limits(high=0)  # so that one unread byte counts as a slow reader
        self._wire = transport
        self._host.opening.add(self)
        self._task = self._loop.create_task(self._run(transport))

    def waits_since(self) -> float:
        """loop.time() since when it waits for its client."""
        return self._since

    def give_way(self) -> None:
        """End at once."""
        self._host.opening.discard(self)
        if self._task is not None and self._wire is not None:
            self._task.cancel()
            self._wire.abort()

    async def _run(self, wire: asyncio.Transport) -> None:
        inlet = _Inlet()
        try:
            transport = await self._loop.start_tls(
                wire,
                inlet,
                self._context,
                server_side=True,
                ssl_handshake_timeout=self._limits.read,
                ssl_shutdown_timeout=self._limits.linger,
            )
        except OSError as error:  # ssl.SSLError is one, and so are time-outs
            wire.abort()
            logger.debug("No TLS: %s", getattr(error, "reason", None) or type(error).__name__)
            return
        finally:
            self._host.opening.discard(self)
        if transport is None or transport.is_closing():  # gone, without an error
            wire.abort()
            return
        connection = self._host.secured(transport, wire)
        if inlet.early:
            connection.data_received(bytes(inlet.early))


class _Inlet(asyncio.Protocol):
    """Keeps what a client sends right behind its handshake, before the connection is there to take it."""

    def __init__(self) -> None:
        self.early = bytearray()

    def data_received(self, data: bytes) -> None:
        self.early += data
