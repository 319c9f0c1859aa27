"""One connection to an enclave: one request at a time, and no reply can ever meet another request.

Replies carry no id, so only order ties them to requests. Whatever breaks the order closes the connection for
good: a call that is cancelled or late, a reply that cannot be read or answers something else, a frame that
nobody asked for. The connection is read all the time, so that a dead enclave is noticed before it is needed.
"""

import asyncio
import contextlib
from typing import Self, TypeVar

from signatory.crypto.curves import KeyType
from signatory.errors import IntegrityError, MalformedError, SignatoryError, UnavailableError
from signatory.net import vsock
from signatory.rpc import messages, wire
from signatory.rpc.messages import RemoteError, Request

T = TypeVar("T")

RETRY = "the same request may be sent again"
GIVEN_UP = "a call was cancelled or late, and its reply must not meet another one"


class NotSentError(UnavailableError):
    """The connection was closed before a byte of the request was sent: it can go over another one."""


class EnclaveClient:
    """Made by `connect`. Once `closed` is set it stays so, and `reason` says why."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.closed = asyncio.Event()
        self.reason = ""
        self.hung_up = False
        """Whether the enclave ended it, and not we."""
        self._reader, self._writer = reader, writer
        self._turn = asyncio.Lock()
        self._awaited: asyncio.Future[bytes] | None = None
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def connect(cls, address: vsock.Address, within: float) -> Self:
        """Dial within that many seconds. Raises UnavailableError."""
        return cls(*await vsock.connect(address, within))

    async def call(
        self, request: Request, expected: type[T], within: float, *, key_type: KeyType | None = None
    ) -> T:
        """The reply, of the expected type, within that many seconds; waiting for one's turn counts.

        Raises RemoteError when the enclave refuses (the connection stays good), MalformedError for a request
        that no enclave takes (nothing is sent), NotSentError, UnavailableError and IntegrityError.
        """
        frame = wire.put_frame(messages.encode_request(request, key_type=key_type))
        try:
            async with asyncio.timeout(within), self._turn:
                return await self._exchange(request, frame, expected, key_type)
        except TimeoutError as error:
            raise UnavailableError(f"no answer from the enclave within {within:.3g} s", hint=RETRY) from error

    async def _exchange(
        self, request: Request, frame: bytes, expected: type[T], key_type: KeyType | None
    ) -> T:
        if self.closed.is_set():
            raise NotSentError(self.reason, hint=RETRY)
        self._awaited = awaited = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(frame)
            with contextlib.suppress(OSError):  # the listener tells the reason
                await self._writer.drain()
            reply = messages.decode_reply(request, await awaited)
            return _expect(expected, key_type or getattr(request, "key_type", None), reply)
        except RemoteError:
            raise
        except BaseException as error:
            self.close(error.message if isinstance(error, SignatoryError) else GIVEN_UP)
            raise

    async def _listen(self) -> None:
        try:
            while True:
                header = await self._reader.readexactly(wire.HEADER)
                body = await self._reader.readexactly(wire.body_length(header, wire.LIMIT_AFTER))
                awaited, self._awaited = self._awaited, None
                if awaited is None:
                    self._break(IntegrityError("the enclave sent a frame that nobody asked for"))
                    return
                if awaited.done():  # cancelled, and its task has not run yet
                    self.close(GIVEN_UP)
                    return
                awaited.set_result(body)
        except asyncio.IncompleteReadError as error:
            where = " in the middle of a frame" if error.partial or error.expected != wire.HEADER else ""
            self._break(UnavailableError(f"the enclave closed the connection{where}", hint=RETRY))
        except OSError as error:
            text = f"the connection to the enclave broke: {error.strerror or error}"
            self._break(UnavailableError(text, hint=RETRY))
        except MalformedError as error:
            self._break(IntegrityError(f"the enclave sent {error.message}"))

    def _break(self, error: SignatoryError) -> None:
        self.hung_up = not self.closed.is_set()
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_exception(error)
        self.close(error.message)

    def close(self, reason: str) -> None:
        """Close at once and for good; whoever waits for a reply gets UnavailableError. Idempotent."""
        if self.closed.is_set():
            return
        self.reason = reason
        self.closed.set()
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_exception(UnavailableError(reason, hint=RETRY))
        self._writer.transport.abort()

    async def finish(self, reason: str) -> None:
        """Close, and wait until everything is released."""
        self.close(reason)
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


def _expect(expected: type[T], key_type: KeyType | None, reply: object) -> T:
    if not isinstance(reply, expected):
        raise IntegrityError(f"the enclave answered with {type(reply).__name__}, not {expected.__name__}")
    found = getattr(reply, "key_type", key_type)
    if key_type is not None and found is not key_type:
        raise IntegrityError(f"the enclave answered for the family {found}, not {key_type}")
    return reply
