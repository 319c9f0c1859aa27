"""Every key of every vault, by its identifier; vaults that do not open, and what becomes of them."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from signatory.crypto.keypair import Verifier
from signatory.errors import NotFoundError, SignatoryError, UnavailableError
from signatory.limits import KEYRING_LIMITS, KeyringLimits
from signatory.vault import (
    Certified,
    KeyBirth,
    Readiness,
    Registration,
    Vault,
    VaultContext,
    VaultKey,
    Withholding,
)

logger = logging.getLogger(__name__)

NOT_FOUND = "this key not found in any vault"
NO_BIRTH = "no birth certificate of this key is stored"
NOT_OPENED = "not opened yet"


class Entry(NamedTuple):
    """A key and where it lives. The verifier is prepared once and checks every signature of the key."""

    vault_name: str
    vault: Vault
    key: VaultKey
    verifier: Verifier


@dataclass(slots=True)
class Slot:
    """One configured vault: open or not, and what it lists. `reason` says why it is not open."""

    registration: Registration
    vault: Vault | None = None
    reason: str = NOT_OPENED
    keys: tuple[VaultKey, ...] = ()
    retry: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return self.registration.name

    def readiness(self) -> Readiness:
        return Readiness(ready=False, reason=self.reason) if self.vault is None else self.vault.readiness()

    def withheld(self, identifier: str) -> str | None:
        """Why a key that is stored there does not sign now; None where nothing is known of it."""
        vault: object = self.vault
        return vault.withheld(identifier) if isinstance(vault, Withholding) else None


class Keyring:
    """Opens the vaults, finds keys, keeps trying what is broken. The first of two vaults with a key wins."""

    def __init__(
        self,
        registrations: Sequence[Registration],
        limits: KeyringLimits = KEYRING_LIMITS,
        *,
        pins: Mapping[str, str] | None = None,
    ) -> None:
        """`pins`: for some keys the one vault, by its configured name, that may sign with them."""
        self._pins = dict(pins or {})
        self._slots = tuple(Slot(registration) for registration in registrations)
        self._limits = limits
        self._entries: dict[str, Entry] = {}
        self._refreshing: asyncio.Task[dict[str, str]] | None = None
        self._searched = float("-inf")
        self._closed = False

    async def start(self) -> None:
        """Open all vaults at once. Never raises for a broken vault: it stays not ready and is tried again."""
        await asyncio.gather(*(self._open(slot) for slot in self._slots))
        self._index()
        for slot in self._slots:
            if slot.vault is None:
                slot.retry = asyncio.create_task(self._keep_trying(slot))

    def get(self, identifier: str) -> Entry | None:
        """The key as last listed, at once."""
        return self._entries.get(identifier)

    async def find(self, identifier: str) -> Entry:
        """The key, after one listing of every vault where nobody listed them lately.

        Raises NotFoundError, or UnavailableError naming the vault that may hold the key and cannot say so.
        """
        if entry := self._entries.get(identifier):
            return entry
        if asyncio.get_running_loop().time() - self._searched >= self._limits.miss:
            await self.refresh()
            if entry := self._entries.get(identifier):
                return entry
        tied = self._pins.get(identifier)
        for name, state in self.readiness().items():
            if not state.ready and tied in {None, name}:
                raise UnavailableError(f"vault {name} is not ready: {state.reason}")
        for slot in self._slots:
            if tied in {None, slot.name} and (reason := slot.withheld(identifier)) is not None:
                raise UnavailableError(f"vault {slot.name} holds this key but cannot use it now: {reason}")
        raise NotFoundError(NOT_FOUND)

    async def find_birth(self, identifier: str) -> KeyBirth:
        """What is stored of the key's birth, by the vault that signs with it.

        Where no vault lists the key, one that keeps it and cannot use it now may still know. Raises as `find`
        does, and NotFoundError where nothing is stored.
        """
        if (stored := self._birth(identifier)) is None:
            await self.find(identifier)
            stored = self._birth(identifier)
        if stored is None:
            raise NotFoundError(NO_BIRTH)
        return stored

    async def refresh(self, *, anew: bool = False) -> Mapping[str, str]:
        """List every open vault again; who comes meanwhile shares that.

        A key that is listed no more is not found afterwards. A vault that cannot list keeps its keys: the
        answer says which, and why. With `anew` a listing that was begun before does not count.
        """
        if anew and self._refreshing is not None and not self._refreshing.done():
            await asyncio.shield(self._refreshing)
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        return await asyncio.shield(self._refreshing)

    def repin(self, pins: Mapping[str, str]) -> None:
        """Other pins than those given at first, at once."""
        if pins != self._pins:
            self._pins = dict(pins)
            self._index()

    def list_all(self) -> Sequence[Entry]:
        """Every key that `find` would return, in the order of the vaults and then of their own listing."""
        return tuple(self._entries.values())

    def readiness(self) -> dict[str, Readiness]:
        """The state of each vault by its configured name."""
        return {slot.name: slot.readiness() for slot in self._slots}

    def vault(self, name: str) -> Vault | None:
        """The open vault with this configured name. None where there is none or where it is not open."""
        return next((slot.vault for slot in self._slots if slot.name == name), None)

    async def close(self) -> None:
        """Stop retrying and close every vault; idempotent. The entries are gone afterwards."""
        self._closed = True
        self._entries = {}
        tasks: list[asyncio.Task[Any]] = [task for slot in self._slots if (task := slot.retry)]
        tasks += [self._refreshing] if self._refreshing else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for slot in self._slots:
            vault, slot.vault, slot.keys = slot.vault, None, ()
            if vault is not None:
                await self._close_one(slot.name, vault)

    def _birth(self, identifier: str) -> KeyBirth | None:
        tied, entry = self._pins.get(identifier), self._entries.get(identifier)
        stores = (slot.vault for slot in self._slots if tied in {None, slot.name})
        vaults: list[object] = list(stores) if entry is None else [entry.vault]
        births = (vault.birth(identifier) for vault in vaults if isinstance(vault, Certified))
        return next((birth for birth in births if birth is not None), None)

    async def _open(self, slot: Slot) -> None:
        registration, vault = slot.registration, None
        fields = {"vault": registration.driver_name, "vault_name": slot.name}
        logger.info("Initializing vault", extra=fields)
        try:
            async with asyncio.timeout(self._limits.opening) as limit:
                context = _patient(registration.context, limit, self._limits.opening)
                vault = await registration.driver.open(registration.config, context)
                keys = tuple(await vault.list())
        except Exception as error:  # noqa: BLE001 - whatever a driver does, the other vaults serve
            slot.reason = _reason(error, f"it did not open within {self._limits.opening:g} s")
            logger.error("Vault is not ready, retrying: %s", slot.reason, extra=fields)  # noqa: TRY400 - no traceback: the reason is for an operator
            if vault is not None:
                await self._close_one(slot.name, vault)
            return
        slot.vault, slot.keys, slot.reason = vault, keys, ""
        if not keys:
            logger.error("No valid keys found in the vault %s", slot.name, extra=fields)

    async def _keep_trying(self, slot: Slot) -> None:
        delay = self._limits.first_retry
        while slot.vault is None:
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 - spreads retries, guards nothing
            delay = min(delay * 2, self._limits.last_retry)
            await self._open(slot)
        self._index()

    async def _refresh(self) -> dict[str, str]:
        reasons = await asyncio.gather(*(self._list(slot) for slot in self._slots))
        self._index()
        self._searched = asyncio.get_running_loop().time()
        return {slot.name: reason for slot, reason in zip(self._slots, reasons, strict=True) if reason}

    async def _list(self, slot: Slot) -> str:
        """Why the vault could not say what it holds; empty where it could."""
        if slot.vault is None:
            return slot.reason
        try:
            async with asyncio.timeout(self._limits.listing):
                slot.keys = tuple(await slot.vault.list())
        except Exception as error:  # noqa: BLE001 - whatever a driver does, the other vaults serve
            reason = _reason(error, f"no answer within {self._limits.listing:g} s")
            logger.warning("Vault cannot list its keys: %s", reason, extra={"vault_name": slot.name})
            return reason
        return ""

    def _index(self) -> None:
        """Rebuild the map. Verifiers are kept, since preparing one is work."""
        if self._closed:
            return
        entries: dict[str, Entry] = {}
        for slot in self._slots:
            if slot.vault is None:
                continue
            for key in slot.keys:
                if self._pins.get(key.id, slot.name) != slot.name:
                    continue
                if key.id in entries:
                    _report_duplicate(key.id, entries[key.id].vault_name, slot.name)
                    continue
                entries[key.id] = self._entry(slot.name, slot.vault, key)
        self._entries = entries

    def _entry(self, name: str, vault: Vault, key: VaultKey) -> Entry:
        old = self._entries.get(key.id)
        if old and old.key == key:
            return Entry(name, vault, key, old.verifier)
        return Entry(name, vault, key, Verifier(key.public_key.type, key.public_key.data, key.purpose))

    async def _close_one(self, name: str, vault: Vault) -> None:
        try:
            async with asyncio.timeout(self._limits.listing):
                await vault.close()
        except Exception as error:  # noqa: BLE001 - whatever a driver does, the other vaults are closed
            reason = _reason(error, f"it did not close within {self._limits.listing:g} s")
            logger.warning("Vault did not close cleanly: %s", reason, extra={"vault_name": name})


def _reason(error: Exception, late: str) -> str:
    if isinstance(error, TimeoutError):
        return late
    if not isinstance(error, SignatoryError):
        return f"the driver failed with {type(error).__name__}, which is a mistake in it"
    return f"{error}; {error.hint}" if error.hint else str(error)


def _report_duplicate(identifier: str, first: str, second: str) -> None:
    if first == second:
        return
    logger.warning("Key %s is in two vaults; %s is used, %s is not", identifier, first, second)


def _patient(context: VaultContext, limit: asyncio.Timeout, seconds: float) -> VaultContext:
    """The context whose questions stop the clock: the limit is for machines, not for who types."""
    loop = asyncio.get_running_loop()

    def reschedule(when: float | None) -> None:
        with contextlib.suppress(RuntimeError):  # the attempt is over
            limit.reschedule(when)

    def password(prompt: str) -> str:
        loop.call_soon_threadsafe(reschedule, None)
        try:
            return context.password(prompt)
        finally:
            with contextlib.suppress(RuntimeError):  # the program is over
                loop.call_soon_threadsafe(reschedule, loop.time() + seconds)

    return replace(context, password=password)
