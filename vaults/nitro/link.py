"""The connection that heals itself: dial, Initialize, load every known key; again, whenever it breaks.

Calls made meanwhile wait, up to their own deadline. Attempts back off to `LAST` seconds with jitter. Keys
that the enclave refuses are named and tried again, ever less often; the others sign.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from signatory.crypto.curves import KeyType
from signatory.errors import NotFoundError, SignatoryError, UnavailableError
from signatory.rpc.messages import RemoteError, Request
from signatory.vault import Call, Readiness, VaultKey
from vaults.nitro.client import NotSentError
from vaults.nitro.line import RETRY
from vaults.nitro.refusals import explain, left_out, sentence
from vaults.nitro.session import Dial, Session
from vaults.nitro.storage.record import SealedKey

logger = logging.getLogger(__name__)
T = TypeVar("T")

FIRST, LAST = 0.1, 15.0
"""Seconds before the second attempt, and the most between two."""
KEYS_FIRST, KEYS_LAST = 1.0, 60.0
"""The same for keys that the enclave refuses: each attempt is a call to KMS."""
SETTLED = 5.0
"""Seconds after which a connection has worked; one that the enclave ends earlier is a failed attempt."""
LOADING = 10.0
"""Seconds in which keys are loaded before the first call may go; the rest are loaded behind."""
LISTING = 2.0
"""The same for whoever lists the keys."""
CLOSED = "the vault is closed"

Known = Callable[[], Awaitable[Sequence[SealedKey]]]


class EnclaveLink:
    """`known` gives the sealed keys as they are stored now."""

    def __init__(self, dial: Dial, known: Known) -> None:
        self.keys: dict[str, VaultKey] = {}
        """Every key that the enclave has shown since the link was made, by id."""
        self._dial, self._known = dial, known
        self._wanted: dict[str, SealedKey] = {}
        self._session: Session | None = None
        self._up = asyncio.Event()
        self._nudge = asyncio.Event()
        self._reason = "not connected yet"
        self._told: dict[str, str] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Connect, and from then on stay connected.

        Raises what the first attempt raises: UnavailableError, DeniedError, ConfigError, IntegrityError; also
        where there are keys and the enclave takes none of them.
        """
        session = await self._establish()
        self._keeper = asyncio.create_task(self._keep(session))

    async def close(self) -> None:
        """Let go of the enclave; whoever waits gets UnavailableError. Idempotent."""
        self._closed = True
        self._up.set()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._session is not None:
            await self._session.client.finish(CLOSED)

    def readiness(self) -> Readiness:
        """Not ready while there is no connection. When ready, the reason names the keys that are left out."""
        session = self._session
        if session is None or session.is_over:
            return Readiness(ready=False, reason=CLOSED if self._closed else self._why(session))
        return Readiness(ready=True, reason=left_out(list(session.refused.values())))

    async def request(self, request: Request, expected: type[T], call: Call) -> tuple[T, Session]:
        """A call that needs no key: the reply, and the session that its handle belongs to."""
        return await self._send(lambda _session, _deadline: _done(request), expected, call, None)

    async def use(self, key: VaultKey, make: Callable[[int], Request], expected: type[T], call: Call) -> T:
        """A call with a key: `make` gets the handle that it has on the connection of the moment.

        Raises NotFoundError, UnavailableError, DeniedError, IntegrityError, MalformedError.
        """

        async def with_handle(session: Session, deadline: float) -> Request:
            return make(await self._handle(session, key, deadline))

        reply, _ = await self._send(with_handle, expected, call, key.public_key.type)
        return reply

    async def refresh(self) -> None:
        """Read the store, and load what is new if the enclave is there. Raises what the store raises."""
        await self._read_store()
        session = self._session
        # Whoever lists must not wait for a long loading that is under way: it goes on without them.
        if session is not None and not session.is_over and not session.loading.locked():
            with contextlib.suppress(SignatoryError):  # the keeper sees the same break and says so
                await self._load_missing(session, again=False, within=LISTING)
            if session.expired:
                self._nudge.set()

    def drop(self, reason: str) -> None:
        """Replace the connection: what came over it was wrong. Keys are loaded again over the next one."""
        if self._session is not None:
            self._session.client.blame(reason)

    def adopt(self, session: Session, sealed: SealedKey, key: VaultKey, handle: int) -> None:
        """A key that was made on this session and is stored."""
        self.keys[key.id] = key
        self._wanted[key.id] = sealed
        session.adopt(key.id, handle)

    def shown(self) -> list[VaultKey]:
        """The stored keys that the enclave has shown, in the order of the store."""
        return [self.keys[identifier] for identifier in self._wanted if identifier in self.keys]

    def withheld(self, identifier: str) -> str | None:
        """Why a stored key does not sign now; None for one that is not stored."""
        if identifier not in self._wanted:
            return None
        refusal = self._session.refused.get(identifier) if self._session is not None else None
        return sentence(refusal) if refusal is not None else "it is not loaded yet"

    async def _send(
        self,
        make: Callable[[Session, float], Awaitable[Request]],
        expected: type[T],
        call: Call,
        key_type: KeyType | None,
    ) -> tuple[T, Session]:
        now = asyncio.get_running_loop().time
        deadline = now() + min(call.timeout, self._dial.timeout)
        while True:
            session = await self._ready_session(deadline)
            try:
                request = await make(session, deadline)
                reply = await session.client.call(request, expected, deadline - now(), key_type=key_type)
            except NotSentError:
                continue  # nothing went out: the next connection may have it
            except RemoteError as error:
                raise explain("the enclave refuses", error) from error
            return reply, session

    async def _ready_session(self, deadline: float) -> Session:
        while True:
            if self._closed:
                raise UnavailableError(CLOSED)
            if self._session is not None and not self._session.is_over:
                return self._session
            self._up.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._up.wait()
            except TimeoutError as error:
                text = f"the enclave is not connected: {self._why(self._session)}"
                raise UnavailableError(text, hint=RETRY) from error

    async def _handle(self, session: Session, key: VaultKey, deadline: float) -> int:
        identifier = key.id
        sealed = self._wanted.get(identifier)
        if sealed is None or sealed.purpose is not key.purpose:
            raise NotFoundError(f"{identifier} is not in this vault")
        if identifier not in session.handles and identifier not in session.refused:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._load(session, sealed)
            except TimeoutError as error:
                raise UnavailableError(f"{identifier} was not loaded in time", hint=RETRY) from error
        if identifier in session.refused:
            refusal = session.refused[identifier]
            raise UnavailableError(refusal.message, hint=refusal.hint)
        return session.handles[identifier]

    async def _keep(self, session: Session) -> None:
        """Stay with a session until it ends, then get another one; for ever."""
        now = asyncio.get_running_loop().time
        delay = 0.0
        while True:
            began = now()
            while fresh := await self._attend(session):
                session = fresh
            level = logging.WARNING if session.client.at_fault else logging.INFO
            logger.log(level, "The enclave's connection ended, connecting again: %s", session.client.reason)
            # An enclave that takes connections and drops or garbles them must not be dialled in a tight loop.
            # One that we closed, because a call was given up, is replaced at once.
            too_short = session.client.at_fault and now() - began < SETTLED
            delay = min(max(FIRST, delay * 2), LAST) if too_short else 0.0
            session = await self._reconnect(delay)

    async def _attend(self, session: Session) -> Session | None:
        """Load what could not be loaded yet, ever less often, until the session is over.

        Where its credentials are over first, the session that took its place.
        """
        pause = KEYS_FIRST
        while not session.is_over:
            with contextlib.suppress(SignatoryError):  # the session is over then
                await self._load_missing(session, again=pause > KEYS_FIRST)
            if session.expired and (fresh := await self._renewed(session)):
                return fresh
            await self._rest(session, _spread(pause))
            pause = min(pause * 2, KEYS_LAST)
        return None

    async def _rest(self, session: Session, seconds: float) -> None:
        """Until the session is over, somebody nudges, or the time has passed."""
        waits = [asyncio.ensure_future(event.wait()) for event in (session.client.closed, self._nudge)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._nudge.clear()

    async def _renewed(self, old: Session) -> Session | None:
        """A session with the credentials of now that holds every key of the old one, in its place.

        None where there is none to be had: what signs goes on signing.
        """
        fresh = None
        try:
            fresh = await Session.open(self._dial)
            await self._load_missing(fresh, again=False)
        except SignatoryError as error:
            logger.warning("Expired credentials could not be renewed: %s", sentence(error))
        if fresh is None or fresh.is_over or fresh.expired or not old.handles.keys() <= fresh.handles.keys():
            if fresh is not None:
                await fresh.client.finish("its credentials are no better")
            return None
        self._session = fresh
        logger.info("The enclave has new credentials")
        await old.client.retire("it was replaced by one with new credentials")
        return fresh

    async def _reconnect(self, delay: float) -> Session:
        while True:
            if delay:
                await asyncio.sleep(_spread(delay))
            try:
                return await self._establish()
            except SignatoryError as error:
                reason = sentence(error)
                if reason != self._reason:
                    logger.error("The enclave cannot be used, trying again: %s", reason)  # noqa: TRY400 - a reason, no traceback
                self._reason = reason
                self._session = None
                delay = min(max(FIRST, delay * 2), LAST)

    async def _establish(self) -> Session:
        await self._read_store()
        session = await Session.open(self._dial)
        try:
            await self._load_missing(session, again=False, within=LOADING)
            _check_useful(session)
        except BaseException:
            await session.client.finish("no key could be loaded")
            raise
        self._session, self._reason = session, ""
        self._up.set()
        return session

    async def _read_store(self) -> None:
        self._wanted = {key.id: key for key in await self._known()}
        if self._session is not None:
            for identifier in self._session.refused.keys() - self._wanted.keys():
                del self._session.refused[identifier]

    async def _load_missing(self, session: Session, *, again: bool, within: float | None = None) -> None:
        """Load the keys without a handle, those refused before only `again`; begin none after `within` s."""
        now = asyncio.get_running_loop().time
        end = None if within is None else now() + within
        async with session.loading:
            for key in tuple(self._wanted.values()):
                if key.id in session.handles or (key.id in session.refused and not again):
                    continue
                if end is not None and now() >= end:
                    return
                await self._load(session, key)
                if session.expired:
                    return  # the next key would be refused for the same reason

    async def _load(self, session: Session, key: SealedKey) -> None:
        public = await session.load(key)
        if public is not None:
            self._told.pop(key.id, None)
            self.keys[key.id] = VaultKey(public, key.purpose)
            return
        reason = sentence(session.refused[key.id])
        if self._told.get(key.id) != reason:
            self._told[key.id] = reason
            logger.error("A key is left out: %s", reason)

    def _why(self, session: Session | None) -> str:
        return self._reason or (session.client.reason if session is not None else "") or "not connected yet"


async def _done(value: Request) -> Request:
    return value


def _check_useful(session: Session) -> None:
    """Raise the first refusal where no key at all could be loaded."""
    if session.refused and not session.handles:
        raise next(iter(session.refused.values()))


def _spread(delay: float) -> float:
    return delay * random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, guards nothing
