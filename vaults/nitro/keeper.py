"""The connection that heals itself: dial, prove, load every known key; again, whenever it breaks.

Attempts back off to `LAST` seconds with jitter. Keys that the enclave refuses are named and tried again, ever
less often; the others sign. Credentials are handed over anew before they end, where the protocol can.
"""

import asyncio
import contextlib
import logging
import random
from functools import partial

from signatory.errors import SignatoryError, UnavailableError
from vaults.nitro.dial import Dial
from vaults.nitro.line import RETRY
from vaults.nitro.loading import Roll, Work, check_useful
from vaults.nitro.refusals import sentence
from vaults.nitro.session import Session

logger = logging.getLogger(__name__)

FIRST, LAST = 0.1, 3.0
"""Seconds before the second attempt, and the most between two."""
KEYS_FIRST, KEYS_LAST = 1.0, 60.0
"""The same for keys that the enclave refuses: each attempt is a call to KMS."""
SETTLED = 5.0
"""Seconds after which a connection has worked; one that the enclave ends earlier is a failed attempt."""
LOADING = 10.0
"""Seconds in which keys are loaded before `open` returns; the rest are loaded behind."""
RENEWAL = 120.0
"""Seconds between two looks whether there are other credentials; a role's come 5 minutes before they end."""
CLOSED = "the vault is closed"


class Keeper:
    """Keeps `session`, the connection of the moment. `roll` is what is loaded on each."""

    def __init__(self, dial: Dial, roll: Roll) -> None:
        self.session: Session | None = None
        self.closed = False
        self._dial, self._roll = dial, roll
        self._up = asyncio.Event()
        self._nudge = asyncio.Event()
        self._reason = "not connected yet"
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, and from then on stay connected. Raises what the first attempt raises."""
        session = await self._establish()
        self._task = asyncio.create_task(self._keep(session))

    async def close(self) -> None:
        """Let go of the enclave; whoever waits gets UnavailableError. Idempotent."""
        self.closed = True
        self._up.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.session is not None:
            await self.session.client.finish(CLOSED)

    @property
    def why(self) -> str:
        """Why there is no connection."""
        if self.closed:
            return CLOSED
        session = self.session
        return self._reason or (session.client.reason if session is not None else "") or "not connected yet"

    async def ready(self, deadline: float) -> Session:
        """The connection of the moment; until `deadline` one is awaited. Raises UnavailableError."""
        while True:
            if self.closed:
                raise UnavailableError(CLOSED)
            if self.session is not None and not self.session.is_over:
                return self.session
            self._up.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._up.wait()
            except TimeoutError as error:
                text = f"the enclave is not connected: {self.why}"
                raise UnavailableError(text, hint=RETRY) from error

    def nudge(self) -> None:
        """See to keys and credentials now."""
        self._nudge.set()

    async def _keep(self, session: Session) -> None:
        """Stay with a session until it ends, then get another one; for ever."""
        now = asyncio.get_running_loop().time
        delay = 0.0
        while True:
            began = now()
            try:
                while fresh := await self._attend(session):
                    session = fresh
            except Exception as error:  # noqa: BLE001 - a defect of ours must not end the healing
                logger.error("The enclave's keeper failed by %s", type(error).__name__)  # noqa: TRY400
                session.client.blame("it could not be looked after")
            level = logging.WARNING if session.client.at_fault else logging.INFO
            logger.log(level, "The enclave's connection ended, connecting again: %s", session.client.reason)
            # An enclave that takes connections and drops or garbles them must not be dialled in a tight loop.
            # One that we closed, because a call was given up, is replaced at once.
            too_short = session.client.at_fault and now() - began < SETTLED
            delay = min(max(FIRST, delay * 2), LAST) if too_short else 0.0
            session = await self._reconnect(delay)

    async def _attend(self, session: Session) -> Session | None:
        """Load what could not be loaded yet, ever less often, until the session is over.

        Where its credentials are over, they are renewed on it; where that cannot be, the session that took
        its place is returned.
        """
        now = asyncio.get_running_loop().time
        pause, renewal = KEYS_FIRST, now() + RENEWAL
        while not session.is_over:
            held = len(session.handles)
            with contextlib.suppress(SignatoryError):  # the session is over then
                await self._roll.load_missing(session, Work(again=pause > KEYS_FIRST))
            if len(session.handles) > held:
                pause = KEYS_FIRST
            if session.speech.is_extended and (session.expired or now() >= renewal):
                renewal = now() + RENEWAL
                if await self._renew(session):
                    continue
            elif session.expired and (fresh := await self._replace(session)):
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

    async def _renew(self, session: Session) -> bool:
        """Whether the session has other credentials now. What signs goes on signing."""
        try:
            renewed = await session.renew()
        except SignatoryError as error:
            logger.warning("The enclave's credentials could not be renewed: %s", sentence(error))
            return False
        if renewed:
            logger.info("The enclave has new credentials")
        return renewed

    async def _replace(self, old: Session) -> Session | None:
        """A session with the credentials of now that holds every key of the old one, in its place.

        None where there is none to be had: what signs goes on signing.
        """
        fresh = None
        try:
            fresh = await Session.open(self._dial)
            await self._roll.load_missing(fresh)
        except SignatoryError as error:
            logger.warning("Expired credentials could not be renewed: %s", sentence(error))
        if fresh is None or fresh.is_over or fresh.expired or not old.handles.keys() <= fresh.handles.keys():
            if fresh is not None:
                await fresh.client.finish("its credentials are no better")
            return None
        self.session = fresh
        logger.info("The enclave has new credentials")
        await old.client.retire("it was replaced by one with new credentials")
        return fresh

    async def _reconnect(self, delay: float) -> Session:
        while True:
            if delay:
                await asyncio.sleep(_spread(delay))
            try:
                return await self._establish()
            except Exception as error:  # noqa: BLE001 - a defect of ours must not end the healing either
                reason = sentence(error) if isinstance(error, SignatoryError) else type(error).__name__
                if reason != self._reason:
                    logger.error("The enclave cannot be used, trying again: %s", reason)  # noqa: TRY400 - a reason, no traceback
                self._reason = reason
                self.session = None
                delay = min(max(FIRST, delay * 2), LAST)

    async def _establish(self) -> Session:
        """A connection with its keys, in its place as soon as one key can sign: the others follow."""
        await self._roll.read(self.session)
        session = await Session.open(self._dial)
        take = partial(self._take, session)
        try:
            await self._roll.load_missing(session, Work(within=LOADING, first=take))
            check_useful(session)
        except BaseException:
            await session.client.finish("no key could be loaded")
            raise
        take()
        return session

    def _take(self, session: Session) -> None:
        self.session, self._reason = session, ""
        self._up.set()


def _spread(delay: float) -> float:
    return delay * random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, guards nothing
