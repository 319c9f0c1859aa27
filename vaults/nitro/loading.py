"""The stored keys, those of them that the enclave has shown, and the work of handing them over."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from signatory.crypto.curves import Purpose
from signatory.vault import VaultKey
from vaults.nitro.refusals import sentence
from vaults.nitro.session import Session
from vaults.nitro.storage.record import SealedKey
from vaults.nitro.wishes import Made

logger = logging.getLogger(__name__)

Known = Callable[[], Awaitable[Sequence[SealedKey]]]


@dataclass(frozen=True, slots=True)
class Work:
    """How keys are loaded: those refused before only `again`, none begun after `within` seconds.

    `first` is called as soon as the enclave has taken a key.
    """

    again: bool = False
    within: float | None = None
    first: Callable[[], None] = lambda: None


class Roll:
    """`known` gives the sealed keys as they are stored now."""

    def __init__(self, known: Known) -> None:
        self.wanted: dict[str, SealedKey] = {}
        """The stored keys, by id, as they were read last."""
        self._shown: dict[str, VaultKey] = {}
        self._known = known
        self._told: dict[str, str] = {}

    async def read(self, session: Session | None) -> None:
        """Read the store; what is no longer in it is no longer refused. Raises what the store raises."""
        self.wanted = {key.id: key for key in await self._known()}
        if session is not None:
            for identifier in session.refused.keys() - self.wanted.keys():
                del session.refused[identifier]

    async def load_missing(self, session: Session, work: Work = Work()) -> None:
        """Hand over the keys without a handle, several at a time where the protocol can.

        Raises UnavailableError or IntegrityError where the connection broke.
        """
        now = asyncio.get_running_loop().time
        end = None if work.within is None else now() + work.within

        async def some(keys: Iterator[SealedKey]) -> None:
            for key in keys:
                # with credentials that are over, the next key would be refused for the same reason
                if session.expired or (end is not None and now() >= end):
                    return
                if key.id not in session.handles and key.id not in session.coming:
                    await self.load(session, key)
                    if key.id in session.handles:
                        work.first()

        async with session.loading:
            missing = iter(
                [
                    key
                    for key in self.wanted.values()
                    if key.id not in session.handles and (work.again or key.id not in session.refused)
                ]
            )
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(session.speech.parallel):
                        group.create_task(some(missing))
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from None

    async def load(self, session: Session, key: SealedKey) -> None:
        """Hand one key over; why one is refused is logged once. Raises as `load_missing`."""
        public = await session.load(key)
        if public is not None:
            self._told.pop(key.id, None)
            self._shown[key.id] = VaultKey(public, key.purpose)
            return
        reason = sentence(session.refused[key.id])
        if self._told.get(key.id) != reason:
            self._told[key.id] = reason
            logger.error("A key is left out: %s", reason)

    def adopt(self, session: Session, made: Made) -> VaultKey:
        """A key that was made on this session and is stored."""
        key = VaultKey(made.public, made.sealed.purpose)
        self._shown[key.id] = key
        self.wanted[key.id] = made.sealed
        session.adopt(key.id, made.handle)
        return key

    def shown(self) -> list[VaultKey]:
        """The stored keys that the enclave has shown, in the order of the store; no checkpoint key."""
        found = (self._shown[identifier] for identifier in self.wanted if identifier in self._shown)
        return [key for key in found if key.purpose is not Purpose.CHECKPOINT]

    def withheld(self, identifier: str, session: Session | None) -> str | None:
        """Why a stored key does not sign now; None for one that is not stored or serves nobody."""
        if identifier not in self.wanted or self.wanted[identifier].purpose is Purpose.CHECKPOINT:
            return None
        refusal = session.refused.get(identifier) if session is not None else None
        return sentence(refusal) if refusal is not None else "it is not loaded yet"


def check_useful(session: Session) -> None:
    """Raise the first refusal where no key at all could be loaded."""
    if session.refused and not session.handles:
        raise next(iter(session.refused.values()))
