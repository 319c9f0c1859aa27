"""A load of keep-alive clients, each with one request under way at a time, over raw asyncio transports."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from signatory.errors import UnavailableError

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one load saw: answers per second, latencies in milliseconds, answers that were not 200."""

    clients: int
    rate: float
    p50: float
    p99: float
    failed: int


@dataclass(slots=True)
class _Tally:
    until: float
    latencies: list[float] = field(default_factory=list)
    failed: int = 0


class _Client(asyncio.Protocol):
    """Sends its next request as soon as its answer is whole, until the time is over."""

    def __init__(self, requests: Iterator[bytes], tally: _Tally) -> None:
        self._requests, self._tally = requests, tally
        self._buffer = b""
        self._sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        request = next(self._requests)
        self._sent = time.perf_counter()
        assert isinstance(self._transport, asyncio.Transport)  # noqa: S101 - what TCP gives
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(_HEAD_END)
        if head < 0:
            return
        length = self._buffer.lower().find(_LENGTH, 0, head)
        size = (
            int(self._buffer[length + len(_LENGTH) : self._buffer.find(b"\r\n", length)])
            if length >= 0
            else 0
        )
        if len(self._buffer) < head + len(_HEAD_END) + size:
            return
        now = time.perf_counter()
        self._tally.latencies.append(now - self._sent)
        self._tally.failed += not self._buffer.startswith(b"HTTP/1.1 200")
        self._buffer = b""
        if now >= self._tally.until:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None or self._buffer:
            self._tally.failed += 1
        if not self.done.done():
            self.done.set_result(None)


def sign_request(address: str, key_id: str, message: bytes) -> bytes:
    """The bytes of `POST /keys/{key_id}` with the message as a JSON string of hex."""
    body = b'"' + message.hex().encode() + b'"'
    head = f"POST /keys/{key_id} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def measure(address: str, request: bytes, clients: int, seconds: float) -> Measured:
    """Load `address` (host:port) with `clients` connections for `seconds`, all with the same request.

    Raises UnavailableError when nothing answers.
    """
    return await measure_each(address, [itertools.repeat(request)] * clients, seconds)


async def measure_each(address: str, requests: Sequence[Iterator[bytes]], seconds: float) -> Measured:
    """Load `address` for `seconds` with a connection for each iterator, which sends what that brings.

    Raises UnavailableError when nothing answers.
    """
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    tally = _Tally(start + seconds)
    try:
        pairs = [
            await loop.create_connection(lambda mine=mine: _Client(mine, tally), host, int(port))  # type: ignore[misc]  # a default binds each
            for mine in requests
        ]
    except OSError as error:
        raise UnavailableError(f"nothing answers at {address}: {error.strerror}") from error
    await asyncio.wait_for(asyncio.gather(*(protocol.done for _, protocol in pairs)), seconds + 60)
    elapsed = time.perf_counter() - start
    ordered = sorted(tally.latencies)
    if not ordered:
        raise UnavailableError(f"{address} closed every connection without an answer")
    return Measured(
        clients=len(requests),
        rate=len(ordered) / elapsed,
        p50=1000 * ordered[len(ordered) // 2],
        p99=1000 * ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
        failed=tally.failed,
    )
