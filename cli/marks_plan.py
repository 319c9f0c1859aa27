"""Which marks would rise, and how far: worked out before anything is written, shown, and only then done."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from signatory.errors import NotFoundError
from signatory.watermark.marks import Chain, higher
from signatory.watermark.rules import Mark
from signatory.watermark.store import Marks

FAR = 100_000
"""Levels of one rise; a longer one is more likely a mistake, which stops a baker for days or for good."""

LAST_ROUND = 2**31 - 1
"""As the round of a mark: nothing more is signed at its level."""


@dataclass(frozen=True, slots=True)
class Rise:
    """One mark, as it is (None where there is none) and as it would be."""

    chain: str
    key: str
    kind: str
    before: Mark | None
    after: Mark
    jump: int
    """Levels it rises by; for a new mark from the highest of its chain, 0 where the chain is new too."""

    def __str__(self) -> str:
        before = "no mark" if self.before is None else str(self.before)
        if before == str(self.after):
            return f"{self.chain} {self.key} {self.kind}: {before}, and nothing more is signed there"
        return f"{self.chain} {self.key} {self.kind}: {before} -> {self.after}"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which marks are meant; None means every one."""

    chain: str | None = None
    key: str | None = None
    kind: str | None = None

    def among(self, found: Marks) -> Marks:
        """Those that match."""
        return nested(row for row in rows(found) if self._matches(*row[:3]))

    def _matches(self, chain: str, key: str, kind: str) -> bool:
        return self.chain in {None, chain} and self.key in {None, key} and self.kind in {None, kind}


def rows(found: Marks) -> Iterator[tuple[str, str, str, Mark]]:
    """Every mark with its chain, key and kind, sorted."""
    for chain in sorted(found):
        for key in sorted(found[chain]):
            for kind in sorted(found[chain][key]):
                yield chain, key, kind, found[chain][key][kind]


def nested(found: Iterable[tuple[str, str, str, Mark]]) -> Marks:
    """The rows as a store has them."""
    chains: dict[str, dict[str, dict[str, Mark]]] = {}
    for chain, key, kind, mark in found:
        chains.setdefault(chain, {}).setdefault(key, {})[kind] = mark
    return chains


def merge(stored: Marks, given: Marks) -> list[Rise]:
    """What changes when no mark may be lower than the given one; of one place and two hashes none stays."""
    top = {chain: max(_levels(stored[chain]), default=0) for chain in stored}
    rises = []
    for chain, key, kind, mark in rows(given):
        before = stored.get(chain, {}).get(key, {}).get(kind)
        if before is None:
            rises.append(Rise(chain, key, kind, None, mark, mark.level - top.get(chain, mark.level)))
        elif (after := higher(before, mark)) != before:
            rises.append(Rise(chain, key, kind, before, after, after.level - before.level))
    return rises


def without(stored: Marks, named: Marks) -> int:
    """How many marks of `stored` are not among those named."""
    return sum(kind not in named.get(chain, {}).get(key, {}) for chain, key, kind, _ in rows(stored))


def lifted(stored: Marks, choice: Choice, to: Mark) -> list[Rise]:
    """What rises when every mark that matches goes up to `to`; one named in full is made where it is absent.

    Raises NotFoundError when nothing matches.
    """
    wanted = [row[:3] for row in rows(choice.among(stored))]
    if not wanted:
        if choice.chain is None or choice.key is None or choice.kind is None:
            raise NotFoundError(
                "there is no such mark", hint="name --chain, --key and --kind to make one that is not there"
            )
        wanted = [(choice.chain, choice.key, choice.kind)]
    return merge(stored, nested((*place, to) for place in wanted))


def marks_of(rises: Iterable[Rise]) -> Marks:
    """What the store is asked for."""
    return nested((rise.chain, rise.key, rise.kind, rise.after) for rise in rises)


def _levels(chain: Chain) -> Iterator[int]:
    return (mark.level for kinds in chain.values() for mark in kinds.values())
