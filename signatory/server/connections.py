"""Connections that cannot be held: limits on their number, on headers, and on the time a client may take.

aiohttp has no limit on the time of a request, on all headers together, on slow readers, on connections.
"""

import asyncio
import contextlib
import itertools
import logging
import secrets
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.web_protocol import RequestHandler

from signatory.limits import Limits
from signatory.server.answers import TEXT, Answer
from signatory.server.handshakes import Handshake

logger = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[Answer]]

_PROCESS = secrets.token_hex(4)
_numbers = itertools.count(1)
_HEADERS_TOO_LONG = "431 Request Header Fields Too Large"
_REFUSAL = (
    "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "X-Request-Id: {identifier}\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n{text}"
)


class Connection(RequestHandler):
    """One client: since when it owes us the rest of a request, since when it leaves an answer unread."""

    def __init__(self, server: "LimitedServer", limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # None turns it off; the stub forgets that
            keepalive_timeout=limits.idle,
            lingering_time=limits.linger,
            auto_decompress=False,
            max_headers=limits.header_count,
            max_line_size=limits.headers,
            max_field_size=limits.headers,
            logger=logger,
        )
        self._server = server
        self._limits = limits
        self.busy = False
        """A request was read whole and is being answered."""
        self.reading_since: float | None = None
        """loop.time() of the first byte of a request that is not whole yet."""
        self.writing_since: float | None = None
        """loop.time() since when the client leaves written bytes unread."""
        self.idle_since = 0.0
        self.unread = 0
        """Bytes received since the last request was whole."""
        self.reading_body = False
        """The handler waits for a body. Sizes of chunks and trailers never reach it, so we count them."""
        self._held = 0
        self.wire: asyncio.Transport | None = None
        """What is below: the transport itself, or the one under its TLS."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse it when there are too many."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what asyncio's servers make
        self.wire = self.wire or transport
        if not self._server.make_room():
            transport.write(refusal("503 Service Unavailable", "too many connections"))
            transport.close()
            self._force_close = True
            return
        # So that one unread byte counts as a slow reader; with TLS, where 0 is, nothing unread counts too.
        transport.set_write_buffer_limits(high=0 if self.wire is transport else 1)
        self.idle_since = self._loop.time()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Note when a request begins and how long its headers get; the rest is the parser's."""
        if self.reading_since is None and data:
            self.reading_since = self._loop.time()
        self.unread += len(data)
        super().data_received(data)
        if self.unread > self._limits.headers and self._waits_for_headers():
            self.cut(_HEADERS_TOO_LONG, "the headers are too long")
        elif self.reading_body and self.unread > self._limits.sent:
            self.cut("413 Request Entity Too Large", "the request is too long")

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Only where reading was paused; the streams ask after every body, and the parser works each time."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.writing_since = self._loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.writing_since = None

    def request_is_whole(self) -> None:
        """The handler has read the body; from now on the client is not to blame for any delay."""
        self.reading_since = None
        self.unread = 0
        self.busy = True

    @property
    def is_stopping(self) -> bool:
        """Whether its listener stops: no request is begun any more, also none that has just come."""
        return self._server.stopping

    def hold(self, count: int) -> bool:
        """Count so many more bytes of the body, until the request is answered; False when there is no room.

        There always is for a body of `limits.small_body` bytes.
        """
        self._held += count
        self._server.held += count
        return self._held <= self._limits.small_body or self._server.held <= self._limits.bodies

    def request_is_answered(self) -> None:
        """The next request may already wait in the parser; its time begins now."""
        self._server.held -= self._held
        self._held = 0
        whole, self.busy = self.busy, False
        self.idle_since = self._loop.time()
        if not whole:  # refused by its headers alone
            self.reading_since, self.unread = None, 0
        elif self.reading_since is not None:
            self.reading_since = self.idle_since
        if self._server.stopping:
            self._server.answered.set()

    def check(self, now: float) -> None:
        """End the connection when its client is too slow."""
        if self.writing_since is not None and now - self.writing_since > self._limits.write:
            self._abort()
        elif self.busy or self.reading_since is None or now - self.reading_since <= self._limits.read:
            return
        elif self._waits_for_headers():
            self.cut("408 Request Timeout", "the request did not arrive in time")

    def cut(self, status: str, text: str) -> None:
        """Say why and close."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(refusal(status, text))
        self.force_close()

    def leave(self) -> None:
        """Close, after the answer to a request that is here already."""
        has_come = self.reading_since is not None and not self.reading_body and not self._waits_for_headers()
        if self.busy or has_come:
            self.close()
        else:
            self.force_close()

    def give_way(self) -> None:
        """End at once. With TLS a close alone would wait for the client to close too."""
        self.force_close()
        self.drop()

    def drop(self) -> None:
        """End what is left after a close. What was written and taken by the kernel still arrives."""
        if self.wire is not None:
            self.wire.abort()

    def waits_since(self) -> float:
        """loop.time() since when it waits for its client to begin or to end a request."""
        return self.idle_since if self.reading_since is None else self.reading_since

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002 - the base class's shape
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the base class's shape
    ) -> web.StreamResponse:
        """Answer what is not HTTP. Our handler never raises, so nothing else comes here."""
        logger.debug("Not a request: %s", type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun")
        text = _HEADERS_TOO_LONG if _is_too_long(exc) else "400 Bad Request"
        more = f"X-Request-Id: {new_request_id()}\r\n"
        return Answer(int(text[:3]), text.encode(), TEXT, headers=more, close=True)

    def _waits_for_headers(self) -> bool:
        """Whether aiohttp's loop waits for a request: not between two of them, and not within one."""
        waiter = self._waiter
        return waiter is not None and not waiter.done() and not self._messages

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class LimitedServer(web.Server):
    """What a listener makes connections with: by `entrance`. One task looks at all for slow clients."""

    def __init__(self, handler: Handler, limits: Limits, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(handler)
        self._limits = limits
        self.tls = tls
        """How new connections are secured; None: they are not. Replaced whole when certificates are."""
        self._watch: asyncio.Task[None] | None = None
        self.opening: set[Handshake] = set()
        """Clients whose handshake is under way: they count as connections do."""
        self.stopping = False
        self.answered = asyncio.Event()
        self.held = 0
        """Bytes of all bodies that are being read or answered."""

    def __call__(self) -> RequestHandler:
        if self._watch is None:
            self._watch = self._loop.create_task(self._keep_watch())
        return Connection(self, self._limits, self._loop)

    def entrance(self) -> asyncio.Protocol:
        """What a listener gives a new client to: a connection, with TLS the handshake before it."""
        return self() if self.tls is None else Handshake(self, self.tls, self._limits)

    def secured(self, transport: asyncio.Transport, wire: asyncio.Transport) -> asyncio.Protocol:
        """The connection of a client that is through its handshake; `wire` is what is below its TLS."""
        connection = self()
        assert isinstance(connection, Connection)  # noqa: S101 - made above
        connection.wire = wire
        transport.set_protocol(connection)
        connection.connection_made(transport)
        return connection

    def make_room(self) -> bool:
        """Whether one more fits, after the one that waits longest for its client was closed if need be.

        Whether that is idle or sends its request slowly makes no difference: one that just came must not give
        way to one that is slow.
        """
        if len(self._connections) + len(self.opening) < self._limits.connections:
            return True
        waiting: list[Connection | Handshake] = [*self.opening]
        waiting += [one for one in self._own() if not one.busy and one.transport is not None]
        if not waiting:
            return False
        min(waiting, key=lambda one: one.waits_since()).give_way()
        return True

    async def stop(self, grace: float) -> None:
        """Close what is idle, let what was begun finish within `grace` seconds, cut the rest."""
        self.stopping = True
        for handshake in tuple(self.opening):
            handshake.give_way()
        for one in self._own():
            one.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while any(one.busy for one in self._own()):
                    self.answered.clear()
                    await self.answered.wait()
        if self._watch is not None:
            self._watch.cancel()
        left = self._own()
        await self.shutdown(0.5)
        for one in left:
            one.drop()

    def _own(self) -> list[Connection]:
        return [one for one in self._connections if isinstance(one, Connection)]

    async def _keep_watch(self) -> None:
        pause = min(self._limits.read, self._limits.write, 4.0) / 4
        while True:
            await asyncio.sleep(pause)
            now = self._loop.time()
            for one in self._own():
                one.check(now)


def new_request_id() -> str:
    """An id for a request that brought none; no two are alike within a process."""
    return f"{_PROCESS}{next(_numbers):08x}"


def refusal(status: str, text: str) -> bytes:
    """A whole plain answer for a client whose request was never read."""
    return _REFUSAL.format(status=status, identifier=new_request_id(), size=len(text), text=text).encode()


def _is_too_long(error: BaseException | None) -> bool:
    """Whether the parser gave up on the length or the number of headers; for the latter it has no class."""
    return isinstance(error, LineTooLong) or (
        isinstance(error, BadHttpMessage) and error.message.startswith("Too many headers")
    )


def connection_of(request: web.BaseRequest) -> Connection:
    """The Connection of a request."""
    connection = request.protocol
    assert isinstance(connection, Connection)  # noqa: S101 - LimitedServer makes no others
    return connection
