"""From values that `strict` decoded to what messages and records are made of; failures name the field."""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from signatory.errors import MalformedError

_T = TypeVar("_T")

_WORD = re.compile(r"[A-Za-z0-9._:+-]+")


def single(value: Any) -> tuple[str, Any]:
    """The name and the value of a map of one entry. Raises MalformedError, as everything here."""
    if isinstance(value, dict) and len(value) == 1:
        ((name, inner),) = value.items()
        if isinstance(name, str):
            return name, inner
    raise MalformedError("a map of one named entry was expected")


def exactly(value: Any, names: Sequence[str]) -> dict[str, Any]:
    """The map, when it has these fields and no other."""
    if not isinstance(value, dict):
        raise MalformedError("a map was expected")
    for name in names:
        if name not in value:
            raise MalformedError(f"{name}: is missing")
    if len(value) != len(names):
        raise MalformedError("it has a field that is unknown")
    return dict(value)


def data(value: Any, name: str, least: int, most: int) -> bytes:
    if isinstance(value, bytes) and least <= len(value) <= most:
        return value
    size = str(most) if least == most else f"{least} to {most}"
    raise MalformedError(f"{name}: a byte string of {size} was expected")


def text(value: Any, name: str, most: int) -> str:
    if isinstance(value, str) and len(value) <= most:
        return value
    raise MalformedError(f"{name}: a text of at most {most} characters was expected")


def word(value: Any, name: str, most: int) -> str:
    """A text that is fit for a log as it is: letters, digits and `. _ : + -`."""
    if isinstance(value, str) and len(value) <= most and _WORD.fullmatch(value):
        return value
    raise MalformedError(f"{name}: 1 to {most} letters, digits and . _ : + - were expected")


def number(value: Any, name: str, least: int, most: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise MalformedError(f"{name}: a number from {least} to {most} was expected")


def boolean(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return value
    raise MalformedError(f"{name}: a boolean was expected")


def member(family: Callable[[Any], _T], value: Any, name: str) -> _T:
    """One of an enumeration."""
    try:
        return family(value)
    except ValueError:
        raise MalformedError(f"{name}: it is not known to this release") from None
