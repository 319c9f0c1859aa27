"""Calls to the enclave over the connection of the moment; those made while there is none wait for it.

A call waits up to its own deadline. What was not sent yet goes over the next connection; what was sent is
never sent again, but for a call that KMS refused because the credentials were over.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from signatory.errors import NotFoundError, SignatoryError, UnavailableError
from signatory.rpc.messages import RemoteError
from signatory.vault import Call, Readiness, VaultKey
from vaults.nitro.client import NotSentError
from vaults.nitro.dial import Dial
from vaults.nitro.keeper import Keeper
from vaults.nitro.line import RETRY
from vaults.nitro.loading import Known, Roll, Work
from vaults.nitro.refusals import ExpiredError, explain, left_out
from vaults.nitro.session import Session
from vaults.nitro.storage.record import SealedKey
from vaults.nitro.wishes import Made, NotSpokenError

T = TypeVar("T")

LISTING = 2.0
"""Seconds in which new keys are loaded for whoever lists them."""

Act = Callable[[Session, float], Awaitable[T]]
"""What is done on a session, within that many seconds."""


class EnclaveLink:
    """`known` gives the sealed keys as they are stored now."""

    def __init__(self, dial: Dial, known: Known) -> None:
        self._timeout = dial.timeout
        self._roll = Roll(known)
        self._keeper = Keeper(dial, self._roll)

    async def open(self) -> None:
        """Connect, and from then on stay connected.

        Raises what the first attempt raises: UnavailableError, DeniedError, ConfigError, IntegrityError; also
        where there are keys and the enclave takes none of them.
        """
        await self._keeper.open()

    async def close(self) -> None:
        """Let go of the enclave; whoever waits gets UnavailableError. Idempotent."""
        await self._keeper.close()

    def readiness(self) -> Readiness:
        """Not ready while there is no connection. When ready, the reason names the keys that are left out."""
        session = self._keeper.session
        if session is None or session.is_over:
            return Readiness(ready=False, reason=self._keeper.why)
        return Readiness(ready=True, reason=left_out(list(session.refused.values())))

    async def perform(self, act: Act[T], call: Call) -> tuple[T, Session]:
        """What is done without a key's handle, and the session that new handles belong to.

        Raises UnavailableError, DeniedError, IntegrityError, MalformedError.
        """
        deadline = self._deadline(call)
        try:
            return await self._do(act, deadline)
        except ExpiredError:
            session = await self._keeper.ready(deadline)
            if not await session.renew():
                raise
            return await self._do(act, deadline)

    async def use(
        self,
        key: VaultKey,
        make: Callable[[int], Any],
        expected: type[T],
        call: Call,
        *,
        extended: str | None = None,
    ) -> T:
        """A call with a key: `make` gets the handle that it has on the connection of the moment.

        `extended` says what it is, where the reference protocol has no words for it: NotSpokenError there.
        Raises NotFoundError, and as `perform`.
        """

        async def with_handle(session: Session, within: float) -> T:
            if extended is not None and not session.speech.is_extended:
                raise NotSpokenError(extended)
            now = asyncio.get_running_loop().time
            deadline = now() + within
            request = make(await self._handle(session, key, deadline))
            return await session.client.call(
                request, expected, deadline - now(), key_type=key.public_key.type
            )

        reply, _ = await self._do(with_handle, self._deadline(call))
        return reply

    async def refresh(self) -> None:
        """Read the store, and load what is new if the enclave is there. Raises what the store raises."""
        session = self._keeper.session
        await self._roll.read(session)
        # Whoever lists must not wait for a long loading that is under way: it goes on without them.
        if session is not None and not session.is_over and not session.loading.locked():
            with contextlib.suppress(SignatoryError):  # the keeper sees the same break and says so
                await self._roll.load_missing(session, Work(within=LISTING))
            if session.expired:
                self._keeper.nudge()

    def drop(self, reason: str) -> None:
        """Replace the connection: what came over it was wrong. Keys are loaded again over the next one."""
        if self._keeper.session is not None:
            self._keeper.session.client.blame(reason)

    def adopt(self, session: Session, made: Made) -> VaultKey:
        """A key that was made on this session and is stored."""
        return self._roll.adopt(session, made)

    def shown(self) -> list[VaultKey]:
        """The stored keys that the enclave has shown, in the order of the store; no checkpoint key."""
        return self._roll.shown()

    def stored(self) -> Sequence[SealedKey]:
        """The stored keys as they were read last."""
        return tuple(self._roll.wanted.values())

    def find(self, identifier: str) -> SealedKey | None:
        """One of them."""
        return self._roll.wanted.get(identifier)

    def withheld(self, identifier: str) -> str | None:
        """Why a stored key does not sign now; None for one that is not stored."""
        return self._roll.withheld(identifier, self._keeper.session)

    def _deadline(self, call: Call) -> float:
        return asyncio.get_running_loop().time() + min(call.timeout, self._timeout)

    async def _do(self, act: Act[T], deadline: float) -> tuple[T, Session]:
        now = asyncio.get_running_loop().time
        while True:
            session = await self._keeper.ready(deadline)
            try:
                return await act(session, deadline - now()), session
            except NotSentError:
                continue  # nothing went out: the next connection may have it
            except RemoteError as error:
                raise explain("the enclave refuses", error) from error

    async def _handle(self, session: Session, key: VaultKey, deadline: float) -> int:
        identifier = key.id
        sealed = self._roll.wanted.get(identifier)
        if sealed is None or sealed.purpose is not key.purpose:
            raise NotFoundError(f"{identifier} is not in this vault")
        try:
            async with asyncio.timeout_at(deadline):
                while identifier not in session.handles and identifier not in session.refused:
                    if coming := session.coming.get(identifier):
                        await coming.wait()
                    else:
                        await self._roll.load(session, sealed)
        except TimeoutError as error:
            raise UnavailableError(f"{identifier} was not loaded in time", hint=RETRY) from error
        if identifier in session.refused:
            refusal = session.refused[identifier]
            if isinstance(refusal, ExpiredError):
                self._keeper.nudge()
            raise UnavailableError(refusal.message, hint=refusal.hint)
        return session.handles[identifier]
