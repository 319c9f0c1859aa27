"""One connection of the extended protocol: many calls at a time, and no reply can ever meet another call.

A reply names its call by id and by the SHA-256 of the frame that asked; one that does not fit both ends the
connection, as does everything that nobody asked for. A call that is cancelled or late tells the enclave so
and is forgotten here, but keeps its place among the calls under way until its reply comes, which is dropped.
Source: docs/enclave-protocol.md.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, TypeVar

from signatory.crypto import hpke
from signatory.crypto.curves import KeyType, SigningVersion
from signatory.errors import IntegrityError, MalformedError, SignatoryError, UnavailableError
from signatory.rpc import answers, calls, wire
from signatory.rpc import extended as ext
from signatory.rpc.hello import hpke_info
from signatory.rpc.messages import Sign
from vaults.nitro.client import NotSentError, expect, family
from vaults.nitro.line import RETRY, Line

T = TypeVar("T")

HUNG = "the enclave answers nothing any more"

WAITING = (ext.Attest, ext.GenerateAttested, ext.ImportSealed, ext.LoadSealed)
"""Calls for which the enclave waits for KMS or the NSM: it counts these, and answers all others at once."""
AT_ONCE = 1024
"""Calls of the other kinds that may be under way."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call that was sent; once its caller gave it up, `reply` is cancelled."""

    digest: bytes
    reply: asyncio.Future[Any]
    places: asyncio.Semaphore
    """Where its reply gives its place back."""

    def fail(self, error: SignatoryError) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)
            self.reply.exception()  # now it counts as looked at, should the caller be cancelled meanwhile


class ExtendedClient:
    """Made by `negotiation.connect`. Once `closed` is set it stays so, and `reason` says why.

    `patience` is how many seconds the enclave may be silent after a call was given up.
    """

    def __init__(self, line: Line, welcome: ext.Welcome, transcript: bytes, patience: float) -> None:
        self.closed = asyncio.Event()
        self.reason = ""
        self.at_fault = False
        """Whether the enclave ended it, by hanging up, by silence or by what it sent, and not we."""
        self.welcome = welcome
        self.transcript = transcript
        """SHA-256 of how this connection began: the user_data of its attestation documents."""
        self._line = line
        self._patience = patience
        self._now = asyncio.get_running_loop().time
        self._last_id = 0
        self._asked: dict[int, _Asked] = {}
        """What the enclave still owes a reply to; as many as there are places."""
        self._waiting = asyncio.Semaphore(welcome.in_flight)
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._leaving = ""
        self._heard = 0.0
        self._watch: asyncio.TimerHandle | None = None
        line.arrived, line.ended, line.expects = self._arrived, self._ended, self._expects

    async def call(
        self, request: ext.Call, expected: type[T], within: float, *, key_type: KeyType | None = None
    ) -> T:
        """The reply, of the expected type, within that many seconds; waiting for a place counts.

        Raises RemoteError when the enclave refuses (the connection stays good), MalformedError for a request
        that this enclave does not take (nothing is sent), NotSentError, UnavailableError and IntegrityError.
        """
        deadline = self._now() + within
        try:
            async with asyncio.timeout_at(deadline):
                reply = await self._exchange(request, deadline, key_type)
        except TimeoutError as error:
            raise UnavailableError(f"no answer from the enclave within {within:.3g} s", hint=RETRY) from error
        try:
            return expect(expected, key_type or family(request), answers.decode_answer(request, reply))
        except IntegrityError as error:
            self.blame(error.message)
            raise

    def seal(
        self, call: type[ext.RenewCredentials | ext.ImportSealed], plaintext: bytes, terms: bytes = b""
    ) -> bytes:
        """Encrypt to the key of this connection, for one kind of call on these terms (hello.hpke_info).

        Raises IntegrityError for a bad key.

        Before the first secret leaves, an attestation document must have vouched for that key: see `trust`.
        """
        try:
            return hpke.seal(self.welcome.session_key, plaintext, hpke_info(call, self.transcript, terms))
        except MalformedError as error:
            raise IntegrityError(f"the session key of the enclave: {error.message}") from error

    async def _exchange(self, request: ext.Call, deadline: float, key_type: KeyType | None) -> Any:
        places = self._waiting if isinstance(request, WAITING) else self._at_once
        await places.acquire()
        try:
            await self._check_usable()
            identifier = self._send(request, deadline, key_type, places)
        except BaseException:
            places.release()  # nothing was sent; otherwise the reply gives the place back
            raise
        try:
            return await self._asked[identifier].reply
        except asyncio.CancelledError:
            self._give_up(identifier)
            raise

    async def _check_usable(self) -> None:
        ends = self._line.is_closing or (not self._asked and self._line.has_unread)
        if ends and not self.closed.is_set():
            # The end, or bytes that nobody asked for: reading it closes the connection and tells which.
            await self.closed.wait()
        if self._leaving:
            await asyncio.sleep(0)  # whoever tries again at once must not hold the others up
        if self.closed.is_set() or self._leaving:
            raise NotSentError(self.reason or self._leaving, hint=RETRY)

    def _send(
        self, request: ext.Call, deadline: float, key_type: KeyType | None, places: asyncio.Semaphore
    ) -> int:
        """Put the call on the wire; its id. Raises MalformedError or TimeoutError, and nothing was sent."""
        if isinstance(request, ext.Cancel):
            raise MalformedError("a call is cancelled by giving it up")
        if isinstance(request, Sign) and request.version is SigningVersion.V0 and (key_type is KeyType.BLS):
            raise MalformedError("SigningVersion0 is not supported for BLS keys")
        left = int((deadline - self._now()) * 1000)
        if left <= 0:
            raise TimeoutError
        identifier = self._last_id + 1
        body = calls.encode_envelope(ext.Envelope(identifier, request, min(left, calls.MAX_WITHIN)))
        if len(body) > self.welcome.frame_limit:
            raise MalformedError(
                f"the request has {len(body)} bytes; the enclave takes {self.welcome.frame_limit}"
            )
        self._last_id = identifier
        reply = asyncio.get_running_loop().create_future()
        self._asked[identifier] = _Asked(calls.digest_of(body), reply, places)
        self._line.send(wire.put_frame(body))
        return identifier

    def _give_up(self, identifier: int) -> None:
        if identifier not in self._asked:
            return  # the reply came first, or the end
        self._last_id += 1
        cancel = calls.encode_envelope(ext.Envelope(self._last_id, ext.Cancel(identifier)))
        self._line.send(wire.put_frame(cancel))
        if self._watch is None:
            self._look_again(self._now())
        self._leave_if_idle()

    def _look_again(self, silent_since: float) -> None:
        loop = asyncio.get_running_loop()
        self._watch = loop.call_at(silent_since + self._patience, self._look, silent_since)

    def _look(self, silent_since: float) -> None:
        """Is the enclave hung? Not while it answers anything, nor when it owes nothing that was given up."""
        self._watch = None
        if not any(asked.reply.done() for asked in self._asked.values()):
            return
        if self._heard > silent_since:
            self._look_again(self._heard)
        else:
            self.blame(HUNG)

    def _expects(self) -> bool:
        return bool(self._asked) and not self.closed.is_set()

    def _arrived(self, body: bytes) -> None:
        try:
            asked, reply = self._match(body)
        except IntegrityError as error:
            self._ended(error)
            return
        asked.places.release()
        self._heard = self._now()
        if not asked.reply.done():
            asked.reply.set_result(reply)
        self._leave_if_idle()

    def _match(self, body: bytes) -> tuple[_Asked, Any]:
        """The call that this answers, now no longer owed, and the reply. Raises IntegrityError."""
        identifier, digest, reply = answers.decode_answer_id(body)
        asked = self._asked.get(identifier)
        if asked is None:
            raise IntegrityError(f"the enclave answered call {identifier}, which waits for no answer")
        if asked.digest != digest:
            raise IntegrityError(f"the enclave answered another question than call {identifier} asked")
        del self._asked[identifier]
        return asked, reply

    def _ended(self, error: SignatoryError) -> None:
        for asked in self._asked.values():
            asked.fail(type(error)(error.message, hint=error.hint))
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
        for asked in self._asked.values():
            asked.fail(UnavailableError(reason, hint=RETRY))
        self._asked.clear()
        self._let_go()
        if self._watch is not None:
            self._watch.cancel()
        self._line.abort()

    async def retire(self, reason: str) -> None:
        """Take no new call, and close when the last one under way is answered or given up."""
        self._leaving = self._leaving or reason
        self._let_go()
        self._leave_if_idle()
        await self.closed.wait()

    def _let_go(self) -> None:
        """Whoever waits for a place goes elsewhere, one after the other."""
        self._waiting.release()
        self._at_once.release()

    def _leave_if_idle(self) -> None:
        if self._leaving and all(asked.reply.done() for asked in self._asked.values()):
            self.close(self._leaving)

    async def finish(self, reason: str) -> None:
        """Close, and wait until everything is released."""
        self.close(reason)
        await self._line.released.wait()
