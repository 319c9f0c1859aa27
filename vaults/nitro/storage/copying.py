"""Sealed keys from one store to another, as they are: nothing is opened, nothing is overwritten."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from signatory.errors import MalformedError
from vaults.nitro.storage.record import SealedKey, Stock
from vaults.nitro.storage.store import Store

TOGETHER = 500
"""Keys that are written together."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a copy would do. `left_out` says in a sentence each what it would not, and why."""

    new: tuple[SealedKey, ...]
    there: tuple[SealedKey, ...]
    left_out: tuple[str, ...]


def plan(source: Stock, target: Stock) -> Plan:
    """Compare by key id: what is the same is there already, what differs is left out."""
    known = {key.id: key for key in target.keys}
    new, there, left_out = list[SealedKey](), list[SealedKey](), list(source.problems)
    for key in source.keys:
        if key.id not in known:
            new.append(key)
        elif difference := _difference(key, known[key.id]):
            left_out.append(f"{key.id}: {difference}")
        else:
            there.append(key)
    return Plan(tuple(new), tuple(there), tuple(left_out))


async def copy(keys: Sequence[SealedKey], target: Store, told: Callable[[int], None]) -> tuple[str, ...]:
    """Add them; `told` hears how many are done. Returns what was left out, a sentence each.

    Raises as Store.add where the store fails; the keys before are copied then.
    """
    left_out, done = list[str](), 0
    remaining = iter(keys)
    while batch := list(itertools.islice(remaining, TOGETHER)):
        try:
            await target.add_many(batch)
        except MalformedError:
            left_out += await _one_by_one(batch, target)
        done += len(batch)
        told(done)
    return tuple(left_out)


async def _one_by_one(keys: Sequence[SealedKey], target: Store) -> list[str]:
    """Where not all of them can be added together: somebody was faster, or a bad record has the name."""
    left_out = []
    for key in keys:
        try:
            await target.add(key)
        except MalformedError as error:
            left_out.append((key, error.message))
    stored = {key.id: key for key in (await target.load()).keys} if left_out else {}
    return [
        f"{key.id}: {reason}"
        for key, reason in left_out
        if key.id not in stored or _difference(key, stored[key.id])
    ]


def _difference(key: SealedKey, stored: SealedKey) -> str:
    """Nothing where the stored one says all that the other does."""
    if replace(key, birth=None) != replace(stored, birth=None):
        return "another sealed key of this id is there"
    if key.birth not in {None, stored.birth}:
        return "the same key is there without its birth" if not stored.birth else "another birth is there"
    return ""
