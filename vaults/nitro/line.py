"""The bytes between host and enclave: whole frames come out, and what comes unasked is known at once.

A protocol and not a stream: a stream's buffer lies between what has arrived and what has been looked at, and
a reply that was sent twice could hide in it until the next request is out.
"""

import asyncio
import select
from collections.abc import Callable
from typing import cast

from signatory.errors import IntegrityError, MalformedError, SignatoryError, UnavailableError
from signatory.rpc import wire

RETRY = "the same request may be sent again"


class Line(asyncio.Protocol):
    """Calls `arrived` with the body of each frame, and `ended` when the enclave's doing ends the connection.

    Both are set before the first byte can come. `expects` says whether a frame is due.
    """

    arrived: Callable[[bytes], None]
    ended: Callable[[SignatoryError], None]
    expects: Callable[[], bool]

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._unread = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)

    @property
    def has_unread(self) -> bool:
        """Whether something, if only the end, waits in the kernel; the event loop is about to read it."""
        return bool(self._poll.poll(0))

    @property
    def is_closing(self) -> bool:
        """Whether nothing that is sent now would go out; that it has ended is told shortly."""
        return self._transport is not None and self._transport.is_closing()

    def send(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)

    def abort(self) -> None:
        """Close at once; nothing is called any more."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._unread += data
        try:
            while self.expects() and (body := self._take()) is not None:
                self.arrived(body)
        except MalformedError as error:
            self.ended(IntegrityError(f"the enclave sent {error.message}"))
            return
        if self._unread and not self.expects():
            self.ended(IntegrityError("the enclave sent bytes that nobody asked for"))

    def _take(self) -> bytes | None:
        """The first frame's body; None while bytes are missing. Raises FrameTooLongError."""
        if len(self._unread) < wire.HEADER:
            return None
        end = wire.HEADER + wire.body_length(bytes(self._unread[: wire.HEADER]), wire.LIMIT_AFTER)
        if len(self._unread) < end:
            return None
        body = bytes(self._unread[wire.HEADER : end])
        del self._unread[:end]
        return body

    def eof_received(self) -> None:
        where = " in the middle of a frame" if self._unread else ""
        self.ended(UnavailableError(f"the enclave closed the connection{where}", hint=RETRY))

    def connection_lost(self, error: Exception | None) -> None:
        self.released.set()
        reason = getattr(error, "strerror", None) or "it was reset"
        self.ended(UnavailableError(f"the connection to the enclave broke: {reason}", hint=RETRY))
