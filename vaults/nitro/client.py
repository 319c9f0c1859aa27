"""One connection to an enclave: one request at a time, and no reply can ever meet another request.

Replies carry no id, so only order ties them to requests. Whatever breaks the order closes the connection for
good: a call that is cancelled or late, a reply that cannot be read or answers something else, bytes that
nobody asked for. A request goes out only where nothing lies unread. The connection is read all the time, so
that a dead enclave is noticed before it is needed.
"""

import asyncio
from typing import Self, TypeVar

from signatory.crypto.curves import KeyType
from signatory.errors import IntegrityError, SignatoryError, UnavailableError
from signatory.net import vsock
from signatory.rpc import messages, wire
from signatory.rpc.messages import RemoteError, Request
from vaults.nitro.line import RETRY, Line

T = TypeVar("T")

GIVEN_UP = "a call was cancelled or late, and its reply must not meet another one"


class NotSentError(UnavailableError):
    """The connection was closed before a byte of the request was sent: it can go over another one."""


class EnclaveClient:
    """Made by `connect`. Once `closed` is set it stays so, and `reason` says why."""

    def __init__(self, line: Line) -> None:
        self.closed = asyncio.Event()
        self.reason = ""
        self.at_fault = False
        """Whether the enclave ended it, by hanging up or by what it sent, and not we."""
        self._line = line
        self._turn = asyncio.Lock()
        self._awaited: asyncio.Future[bytes] | None = None
        line.arrived, line.ended, line.expects = self._arrived, self._ended, self._expects

    @classmethod
    async def connect(cls, address: vsock.Address, within: float) -> Self:
        """Dial within that many seconds. Raises UnavailableError."""
        made: list[Self] = []

        def start() -> Line:
            line = Line()
            made.append(cls(line))
            return line

        await vsock.dial(start, address, within)
        return made[-1]

    async def call(
        self, request: Request, expected: type[T], within: float, *, key_type: KeyType | None = None
    ) -> T:
        """The reply, of the expected type, within that many seconds; waiting for one's turn counts.

        Raises RemoteError when the enclave refuses (the connection stays good), MalformedError for a request
        that no enclave takes (nothing is sent), NotSentError, UnavailableError and IntegrityError.
        """
        try:
            async with asyncio.timeout(within), self._turn:
                await self._check_silence()
                frame = wire.put_frame(messages.encode_request(request, key_type=key_type))
                return await self._exchange(request, frame, expected, key_type)
        except TimeoutError as error:
            text = f"no answer from the enclave within {within:.3g} s"
            if self.reason == GIVEN_UP:
                self.reason = text  # late, not cancelled: the operator should know which
            raise UnavailableError(text, hint=RETRY) from error

    async def _check_silence(self) -> None:
        if (self._line.is_closing or self._line.has_unread) and not self.closed.is_set():
            # The end, or bytes that nobody asked for: reading it closes the connection and tells which.
            await self.closed.wait()
        if self.closed.is_set():
            raise NotSentError(self.reason, hint=RETRY)

    async def _exchange(
        self, request: Request, frame: bytes, expected: type[T], key_type: KeyType | None
    ) -> T:
        self._awaited = awaited = asyncio.get_running_loop().create_future()
        try:
            self._line.send(frame)
            reply = messages.decode_reply(request, await awaited)
            return expect(expected, key_type or family(request), reply)
        except RemoteError:
            raise
        except IntegrityError as error:
            self.blame(error.message)
            raise
        except BaseException as error:
            self.close(error.message if isinstance(error, SignatoryError) else GIVEN_UP)
            raise

    def _expects(self) -> bool:
        return self._awaited is not None and not self.closed.is_set()

    def _arrived(self, body: bytes) -> None:
        awaited, self._awaited = self._awaited, None
        if awaited is None or awaited.done():  # cancelled, and its task has not run yet
            self.close(GIVEN_UP)
        else:
            awaited.set_result(body)

    def _ended(self, error: SignatoryError) -> None:
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_exception(error)
        self.blame(error.message)

    def blame(self, reason: str) -> None:
        """Close, because of what the enclave did: it is not to be dialled again at once."""
        self.at_fault = self.at_fault or not self.closed.is_set()
        self.close(reason)

    def close(self, reason: str) -> None:
        """Close at once and for good; whoever waits for a reply gets UnavailableError. Idempotent."""
        if self.closed.is_set():
            return
        self.reason = reason
        self.closed.set()
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_exception(UnavailableError(reason, hint=RETRY))
        self._line.abort()

    async def retire(self, reason: str) -> None:
        """Close between two requests: the one under way gets its reply, those behind it go elsewhere."""
        async with self._turn:
            self.close(reason)

    async def finish(self, reason: str) -> None:
        """Close, and wait until everything is released."""
        self.close(reason)
        await self._line.released.wait()


def expect(expected: type[T], key_type: KeyType | None, reply: object) -> T:
    """The reply, when it is of this type and, where a family is known, for it. Raises IntegrityError."""
    if not isinstance(reply, expected):
        raise IntegrityError(f"the enclave answered with {type(reply).__name__}, not {expected.__name__}")
    found = family(reply) or key_type
    if key_type is not None and found is not key_type:
        raise IntegrityError(f"the enclave answered for the family {found}, not {key_type}")
    return reply


def family(value: object) -> KeyType | None:
    """The key family that a request or a reply speaks of, itself or by the name of a sealed key."""
    found = getattr(getattr(value, "name", value), "key_type", None)
    return found if isinstance(found, KeyType) else None
