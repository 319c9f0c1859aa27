"""The extended protocol on one connection: calls with ids, answered in the order in which they are done.

Ids rise, so none is used twice; there is one reply to each call but Cancel, with the digest of the frame that
asked. What cannot be tied to an id ends the connection. Source: docs/enclave-protocol.md.
"""

import asyncio
import os

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from enclave_signer.calls import Calls, Quick, Slow
from enclave_signer.enclave import Enclave
from enclave_signer.frames import Frames
from enclave_signer.refusals import Refusal, chain_of
from signatory.errors import MalformedError, SignatoryError
from signatory.rpc import extended as ext
from signatory.rpc.answers import encode_answer, encode_refusal
from signatory.rpc.calls import decode_envelope, decode_id, digest_of
from signatory.rpc.hello import NONCE, decode_hello, encode_welcome, transcript
from signatory.rpc.messages import encode_error

DEADLINE = ("deadline", "the call's time is over")
CANCELLED = ("cancelled",)


class StrayFrameError(MalformedError):
    """A frame without an id of its own: nobody could tell what a reply to it answers."""


async def serve(enclave: Enclave, frames: Frames, hello: bytes) -> None:
    """From Hello until the host hangs up; then every call is given up and every key forgotten.

    Raises StrayFrameError, FrameTooLongError, TimeoutError, OSError and EOFError for what ends it otherwise.
    """
    try:
        decode_hello(hello)
    except MalformedError as error:
        await frames.put(encode_error(chain_of(error)))
        return
    session_key = X25519PrivateKey.generate()
    welcome = encode_welcome(_welcome(enclave, session_key))
    calls = Calls(enclave, session_key, transcript(hello, welcome))
    try:
        await frames.put(welcome)
        await _Conversation(calls, frames, enclave.settings.limits.in_flight).run()
    finally:
        calls.close()


def _welcome(enclave: Enclave, session_key: X25519PrivateKey) -> ext.Welcome:
    settings = enclave.settings
    return ext.Welcome(
        nonce=os.urandom(NONCE),
        session_key=session_key.public_key().public_bytes_raw(),
        in_flight=settings.limits.in_flight,
        frame_limit=settings.limits.frame_after,
        schemes=tuple(scheme.value for scheme in settings.schemes),
        reference_protocol=settings.reference_protocol,
        release=settings.release,
    )


class _Conversation:
    """Reads calls one by one. Those that wait for nothing are answered before the next is read."""

    def __init__(self, calls: Calls, frames: Frames, in_flight: int) -> None:
        self._calls = calls
        self._frames = frames
        self._in_flight = in_flight
        self._last = -1
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._given_up: set[int] = set()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    await self._listen(group)
                finally:
                    for task in self._under_way.values():
                        task.cancel()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        while (body := await self._next()) is not None:
            digest = digest_of(body)
            try:
                envelope = decode_envelope(body)
            except MalformedError as error:
                identifier = _id_of(body)
                self._rise(identifier)
                await self._frames.put(encode_refusal(identifier, digest, chain_of(error)))
            else:
                self._rise(envelope.id)
                await self._begin(envelope, digest, group)
            # Other sessions get their turn, and the call begins before a Cancel for it can be read.
            await asyncio.sleep(0)

    async def _next(self) -> bytes | None:
        """No further call is read while the host does not take its replies: they would pile up."""
        await self._frames.settle()
        return await self._frames.take(self._calls.frame_limit, self._may_idle)

    def _may_idle(self) -> bool:
        return self._calls.has_credentials or bool(self._under_way)

    def _rise(self, identifier: int) -> None:
        if identifier <= self._last:
            raise StrayFrameError("the id of a call did not rise")
        self._last = identifier

    async def _begin(self, envelope: ext.Envelope, digest: bytes, group: asyncio.TaskGroup) -> None:
        match envelope.call:
            case ext.Cancel(identifier):
                self._cancel(identifier)
            case ext.Attest() | ext.GenerateAttested() | ext.ImportSealed() | ext.LoadSealed() as call:
                if len(self._under_way) >= self._in_flight:
                    chain = ("too many calls are under way",)
                    await self._frames.put(encode_refusal(envelope.id, digest, chain))
                    return
                task = group.create_task(self._answer(envelope, call, digest))
                self._under_way[envelope.id] = task
            case call:
                await self._frames.put(self._reply_now(envelope.id, call, digest))

    def _cancel(self, identifier: int) -> None:
        task = self._under_way.get(identifier)
        if task is not None and identifier not in self._given_up:
            self._given_up.add(identifier)
            task.cancel()

    def _reply_now(self, identifier: int, call: Quick, digest: bytes) -> bytes:
        try:
            return encode_answer(identifier, digest, self._calls.answer_now(call))
        except SignatoryError as error:
            return encode_refusal(identifier, digest, chain_of(error))

    async def _answer(self, envelope: ext.Envelope, call: Slow, digest: bytes) -> None:
        try:
            answer = await self._within(envelope, call)
            reply = encode_answer(envelope.id, digest, answer)
        except SignatoryError as error:
            reply = encode_refusal(envelope.id, digest, chain_of(error))
        finally:
            del self._under_way[envelope.id]
            self._given_up.discard(envelope.id)
        await self._frames.put(reply)

    async def _within(self, envelope: ext.Envelope, call: Slow) -> ext.Answer:
        """Raises Refusal for a call whose time is over, or that its host gave up."""
        limit = asyncio.timeout(None if envelope.within is None else envelope.within / 1000)
        try:
            async with limit:
                return await self._calls.answer(call)
        except TimeoutError:
            if limit.expired():
                raise Refusal(*DEADLINE) from None
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if envelope.id in self._given_up and task is not None and task.uncancel() == 0:
                raise Refusal(*CANCELLED) from None
            raise


def _id_of(body: bytes) -> int:
    try:
        return decode_id(body)
    except MalformedError:
        raise StrayFrameError("a frame has no id that can be read") from None
