"""The Condition block of a policy, decided for one request: true, false, or None where it cannot be told.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators" and "Multivalued context keys".
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

Context: TypeAlias = Mapping[str, str | Sequence[str]]
"""What is known of a request: condition key → value, or values of a key that can have several."""

_Test: TypeAlias = Callable[[str, str], bool]


def wild(pattern: str, text: str) -> bool:
    """Whether `text` fits a pattern of `*` (any characters) and `?` (one); time is the product of the two."""
    if "*" not in pattern and "?" not in pattern:
        return pattern == text
    fits = [True] + [False] * len(text)
    for char in pattern:
        if char == "*":
            first = fits.index(True) if True in fits else len(fits)
            fits = [at >= first for at in range(len(fits))]
        else:
            fits = [False, *(fits[at] and char in ("?", text[at]) for at in range(len(text)))]
    return fits[-1]


def _same(value: str, wanted: str) -> bool:
    return value == wanted


def _same_ignoring_case(value: str, wanted: str) -> bool:
    return value.lower() == wanted.lower()


def _like(value: str, wanted: str) -> bool:
    return wild(wanted, value)


def _arn_like(value: str, wanted: str) -> bool:
    """Each of the six parts by itself: a star does not reach over a colon, but in the last part."""
    parts, patterns = value.split(":", 5), wanted.split(":", 5)
    if len(parts) != 6 or len(patterns) != 6:
        return False
    return all(wild(pattern, part) for pattern, part in zip(patterns, parts, strict=True))


_TESTS: Mapping[str, tuple[_Test, bool]] = {
    "StringEquals": (_same, True),
    "StringNotEquals": (_same, False),
    "StringEqualsIgnoreCase": (_same_ignoring_case, True),
    "StringNotEqualsIgnoreCase": (_same_ignoring_case, False),
    "StringLike": (_like, True),
    "StringNotLike": (_like, False),
    "ArnEquals": (_arn_like, True),
    "ArnNotEquals": (_arn_like, False),
    "ArnLike": (_arn_like, True),
    "ArnNotLike": (_arn_like, False),
    "Bool": (_same_ignoring_case, True),
}
"""Operator → how one value is compared, and whether one that fits is wanted (False: none may fit)."""


def everything(_key: str) -> bool:
    """For a context that is whole: a key that is not in it is not in the request."""
    return True


def holds(
    condition: Mapping[str, Any], context: Context, is_known: Callable[[str], bool] = everything
) -> bool | None:
    """Whether every line of the block holds.

    None: some line is not understood and no line is false. A block with a line that is false does not speak
    of this request, whatever its other lines mean. `is_known` says, of a key in lower case that `context`
    lacks, whether the request lacks it too; where it may have it, the line cannot be told.
    """
    given: dict[str, tuple[str, ...]] = {}
    for key, value in context.items():
        given[key.lower()] = given.get(key.lower(), ()) + _values(value)
    results = [_line(operator, key, wanted, given, is_known) for operator, key, wanted in _lines(condition)]
    if False in results:
        return False
    return None if None in results else True


def _lines(condition: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Operator, key and values of each line; an operator without lines is one that is not understood."""
    for operator, lines in condition.items():
        for key, wanted in lines.items() if isinstance(lines, Mapping) and lines else [("", None)]:
            yield str(operator), str(key), wanted


def _line(
    operator: str,
    key: str,
    wanted: Any,
    given: Mapping[str, tuple[str, ...]],
    is_known: Callable[[str], bool],
) -> bool | None:
    values, allowed = given.get(key.lower(), ()), _wanted(wanted)
    if allowed is None or (not values and not is_known(key.lower())):
        return None
    if operator == "Null":
        return None if allowed not in (["true"], ["false"]) else (not values) == (allowed == ["true"])
    quantifier, _, name = operator.rpartition(":")
    known = _TESTS.get(name.removesuffix("IfExists"))
    if known is None or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        return None
    test, wants_fit = known
    if not values:
        # AWS: a key that is not there meets the negated operators, ForAllValues and IfExists.
        return name.endswith("IfExists") or quantifier == "ForAllValues" or (not wants_fit and not quantifier)
    if not quantifier and len(values) > 1:
        return None
    results = [any(test(value, each) for each in allowed) == wants_fit for value in values]
    return all(results) if quantifier == "ForAllValues" else any(results)


def _values(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _wanted(wanted: Any) -> list[str] | None:
    """The values of a line as texts; None for what is no text or holds a policy variable."""
    values = wanted if isinstance(wanted, list) else [wanted]
    texts = [str(value).lower() if isinstance(value, bool) else value for value in values]
    if texts and all(isinstance(text, str) and "${" not in text for text in texts):
        return texts
    return None
