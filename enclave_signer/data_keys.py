"""Data keys that seal more than one private key: those this process got from KMS, and those it opened.

A new record is sealed only under a data key that this process itself got from GenerateDataKey, under
attestation. One that the host hands in, wrapped, may open records but never seals: KMS Encrypt takes no
attestation, so the host could have wrapped a data key that it knows.
"""

import hmac
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from enclave_signer.flights import Flights
from enclave_signer.kms import DataKey, KmsSession, Rights
from signatory.errors import IntegrityError
from signatory.nitro.kms import Arn
from signatory.nitro.sealed import context_of

LIMIT = 1024
"""Data keys that are kept for sealing, and as many opened ones for each session."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_Wrapped = tuple[Arn, bytes, tuple[tuple[str, str], ...]]
_Owner = tuple[Arn, str | None]


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A data key of this process; `id` is `envelope:` and 32 hex digits."""

    id: str
    data_key: DataKey


class _Latest(Generic[_Key, _Value]):
    """The values used last; the one that was not asked for the longest makes room."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[_Key, _Value] = OrderedDict()

    def get(self, key: _Key) -> _Value | None:
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key]

    def put(self, key: _Key, value: _Value) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)


@dataclass(slots=True)
class _View:
    """What one set of credentials has shown that it may open."""

    opened: _Latest[_Wrapped, bytes]
    opening: Flights[_Wrapped, bytes] = field(default_factory=Flights)
    making: Flights[_Owner, SealingKey] = field(default_factory=Flights)


class DataKeys:
    """Made once, at the start, for all sessions.

    What a session opened is not opened for another one, nor for the same one after its credentials changed:
    a session without rights at KMS opens and seals nothing.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._made: _Latest[_Owner, SealingKey] = _Latest(limit)
        self._views: WeakKeyDictionary[Rights, _View] = WeakKeyDictionary()

    async def for_sealing(self, kms: KmsSession, user_id: str | None) -> SealingKey:
        """The process's data key for an owner under the session's KMS key, made when there is none.

        Raises what KmsSession's calls raise.
        """
        view, owner = self._view(kms), (kms.key, user_id)
        made = self._made.get(owner)
        if made is None:
            made = await view.making.join(owner, lambda: self._make(kms, user_id, view))
        data_key, context = made.data_key, context_of(user_id, made.id)
        opened = await self.open(kms, data_key.key, data_key.wrapped, context)
        if not hmac.compare_digest(opened, data_key.plaintext):
            raise IntegrityError("KMS unwrapped another data key than the one it made")
        return made

    async def open(self, kms: KmsSession, key: Arn, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """The data key behind `wrapped`: asked of KMS once, however many want it and however often.

        Raises what KmsSession.decrypt raises; the next one asks again then.
        """
        view, name = self._view(kms), _name(key, wrapped, context)
        kept = view.opened.get(name)
        if kept is not None:
            return kept

        async def ask() -> bytes:
            opened = await kms.decrypt(wrapped, key=key, context=context)
            view.opened.put(name, opened)
            return opened

        return await view.opening.join(name, ask)

    async def _make(self, kms: KmsSession, user_id: str | None, view: _View) -> SealingKey:
        identifier = f"envelope:{os.urandom(16).hex()}"
        context = context_of(user_id, identifier)
        made = SealingKey(identifier, await kms.generate_data_key(context))
        view.opened.put(_name(made.data_key.key, made.data_key.wrapped, context), made.data_key.plaintext)
        self._made.put((kms.key, user_id), made)
        return made

    def _view(self, kms: KmsSession) -> _View:
        view = self._views.get(kms.rights)
        if view is None:
            view = self._views[kms.rights] = _View(_Latest(self._limit))
        return view


def _name(key: Arn, wrapped: bytes, context: Mapping[str, str]) -> _Wrapped:
    return key, wrapped, tuple(sorted(context.items()))
