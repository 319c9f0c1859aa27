"""From what was read, record by record, to what a store holds: every fault named, everything else kept."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from signatory.vault import KeyBirth
from vaults.nitro.storage.record import Born, Found, SealedKey, Stock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One record: what it calls itself, and what was read from it, or why nothing was."""

    name: str
    value: T | None
    reason: str = ""


Placed = tuple[str, Entry[T]]
"""Where a record is, fit for a message, and the record."""


def stock_of(
    keys: Iterable[Placed[Found]], births: Iterable[Placed[Born]] = (), problems: Iterable[str] = ()
) -> Stock:
    """The first record of a key wins."""
    told = list(problems)
    apart: dict[str, dict[bytes, KeyBirth]] = {}
    for where, birth in births:
        if birth.value is None:
            told.append(f"{where} is left out: {birth.reason}")
        else:
            apart.setdefault(birth.value.id, {})[birth.value.wrapped] = birth.value.birth
    kept: dict[str, SealedKey] = {}
    for where, entry in keys:
        if entry.value is None:
            told.append(f"{where} is left out: {entry.reason}")
        elif entry.value.key.id in kept:
            told.append(f"{where} is left out: a record before it has the same key")
        else:
            key, problem = _joined(entry.value, apart)
            kept[key.id] = key
            if problem:
                told.append(f"the birth of {key.id} is left out: {problem}")
    return Stock(tuple(kept.values()), tuple(told))


def _joined(found: Found, apart: dict[str, dict[bytes, KeyBirth]]) -> tuple[SealedKey, str]:
    key = found.key
    if not key.is_reference or key.id not in apart:
        return key, found.problem
    if birth := apart[key.id].get(key.blob):
        return replace(key, birth=birth), ""
    return key, "it is of another sealed key"
