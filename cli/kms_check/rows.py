"""What came of the calls of a check: a row for each, and a table of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One call. `expected` and `got` are in words; `good` only where what came is what should."""

    call: str
    expected: str
    got: str
    good: bool


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The lines to print."""
    calls = max(len("call"), *(len(row.call) for row in rows))
    expected = max(len("expected"), *(len(row.expected) for row in rows))
    yield f"{'':<6}  {'call':<{calls}}  {'expected':<{expected}}  got"
    for row in rows:
        mark = "OK" if row.good else "FAILED"
        yield f"{mark:<6}  {row.call:<{calls}}  {row.expected:<{expected}}  {row.got}"


def all_good(rows: Sequence[Row]) -> bool:
    """False also where there are none: nothing was shown then."""
    return bool(rows) and all(row.good for row in rows)
