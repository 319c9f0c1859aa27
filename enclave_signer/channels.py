"""A few HTTPS connections to KMS, kept alive, each lent to one call at a time."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enclave_signer.https import HttpsChannel
from signatory.net.vsock import Address


class Channels:
    """The connections of one session: at most `count`, each opened when it is first needed."""

    def __init__(self, proxy: Address, context: ssl.SSLContext, host: str, count: int) -> None:
        self._free: asyncio.LifoQueue[HttpsChannel] = asyncio.LifoQueue()
        self._all = [HttpsChannel(proxy, context, host) for _ in range(count)]
        for channel in self._all:
            self._free.put_nowait(channel)
        self._closed = False

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[HttpsChannel]:
        """A connection that nobody else uses meanwhile, the one used last where there is a choice.

        Waits for a free one without a limit of its own: the caller has one.
        """
        channel = await self._free.get()
        try:
            yield channel
        finally:
            if self._closed:
                channel.close()
            self._free.put_nowait(channel)

    def close(self) -> None:
        """Drop all connections at once; a call under way fails, and leaves none open."""
        self._closed = True
        for channel in self._all:
            channel.close()
