"""What is wrong with a configuration, all at once: each problem with its path, its line and a way out."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from signatory.errors import ConfigError

Path = tuple[str | int, ...]
"""The way to a value: keys and list positions."""

SHOWN = 40
"""Longer keys are cut in messages: a secret key pasted where a name belongs must not be printed."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right. `line` counts from 1; 0 where the value has no place in a file."""

    path: Path
    text: str
    line: int = 0

    def __str__(self) -> str:
        place = dotted(self.path)
        if self.line:
            place += f" (line {self.line})" if place else f"line {self.line}"
        return f"{place}: {self.text}" if place else self.text


class ConfigProblemsError(ConfigError):
    """Every problem of one configuration; `source` is the file, or empty."""

    def __init__(self, problems: Iterable[Problem], *, source: str = "", hint: str | None = None) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        self.source = source
        super().__init__(_listed(self.problems, source), hint=hint)


class Findings(ValueError):  # noqa: N818  # what a pydantic validator raises, not what callers catch
    """Several things wrong inside one value: each with the way from that value on, and its text."""

    def __init__(self, found: Iterable[tuple[Path, str]]) -> None:
        self.found = tuple(found)
        super().__init__("; ".join(text for _, text in self.found))


def _listed(problems: Sequence[Problem], source: str) -> str:
    if len(problems) == 1:
        return f"{source}: {problems[0]}" if source else str(problems[0])
    place = f" in {source}" if source else ""
    lines = "".join(f"\n  {problem}" for problem in problems)
    return f"{len(problems)} problems{place}:{lines}"


def dotted(path: Path) -> str:
    """The path as people write it: `vaults.nitro.config.keys[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{shown(part)}" if text else shown(part)
    return text


def shown(key: str) -> str:
    """A word as it may appear in a message: cut where it is too long to be a name, controls escaped."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in key[: SHOWN + 1])
    return safe if len(key) <= SHOWN else f"{safe[:4]}…"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, or None."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower()[:SHOWN], by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, else all of them, else nothing."""
    names = sorted(known)
    if guess := nearest(word, names):
        return f"; did you mean `{guess}`?"
    return f"; known here: {', '.join(names)}" if names else ""
