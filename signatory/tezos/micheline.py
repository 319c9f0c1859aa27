"""Micheline, the form of Michelson programs and data: find the end of an expression, strictly.

Source: Octez micheline_encoding.ml. Works off a list of what is still to come instead of recursing, so that
nesting costs the sender, not us; and in one loop with its own cursor, as a node may be of two bytes.
"""

from signatory.errors import MalformedError
from signatory.tezos.reader import MAX_ITEMS, Reader, too_many, too_short, unknown_tag

MAX_DEPTH = 10_000
"""Nesting of one expression; the protocol's own interpreter stops there."""

_EXPRESSION = -1
_ANNOTATIONS = -2

# What follows the first argument of a primitive, last thing first. Tags 3, 4 and 9 are apart: the first two
# have no argument, the last has any number of them.
_ARGUMENTS: dict[int, tuple[int, ...]] = {
    5: (),
    6: (_ANNOTATIONS,),
    7: (_EXPRESSION,),
    8: (_ANNOTATIONS, _EXPRESSION),
}


def expression(reader: Reader) -> None:  # noqa: C901, PLR0912 - one loop: a call for each node costs more
    """Pass over one expression. Raises MalformedError, also above MAX_ITEMS and MAX_DEPTH.

    Names of primitives are not checked: a protocol may have more of them than we know.
    """
    data, at, end, items = reader.data, reader.at, reader.end, reader.items
    # What is to come, last thing first: an expression, annotations, or the end that a sequence goes back to.
    pending = [_EXPRESSION]
    while pending:
        item = pending[-1]
        if item == _ANNOTATIONS:
            pending.pop()
            at = _dynamic(data, at, end)
            continue
        if item == _EXPRESSION:
            pending.pop()
        elif at == end:  # nothing of a sequence reads past its end
            end = pending.pop()
            continue
        items += 1
        if items > MAX_ITEMS:
            raise too_many()
        if at >= end:
            raise too_short(1, 0)
        tag = data[at]
        at += 1
        if tag == 0:
            at = _integer(reader, at, end)
        elif tag in {1, 10}:
            at = _dynamic(data, at, end)
        elif tag == 2:
            pending.append(end)
            end = _dynamic(data, at, end)
            at += 4
        elif tag > 9:
            raise unknown_tag(tag)
        else:
            if at >= end:
                raise too_short(1, 0)
            at += 1  # the name of the primitive
            if tag == 4:
                at = _dynamic(data, at, end)
            elif tag == 9:
                pending += (_ANNOTATIONS, end)
                end = _dynamic(data, at, end)
                at += 4
            elif tag != 3:
                pending += (*_ARGUMENTS[tag], _EXPRESSION)
        if len(pending) > 2 * MAX_DEPTH:  # a level leaves at most two things to come
            raise MalformedError("the Micheline expression is nested too deeply")
    reader.at, reader.items = at, items


def _integer(reader: Reader, at: int, end: int) -> int:
    """Where the integer ends that begins at `at`; nearly all are of one byte."""
    if at < end and (reader.data[at] < 0x80 and reader.data[at] != 0x40):
        return at + 1
    outer, reader.at, reader.end = reader.end, at, end
    reader.integer()
    reader.end = outer
    return reader.at


def _dynamic(data: bytes, at: int, end: int) -> int:
    """Where the bytes end whose length of four bytes begins at `at`."""
    start = at + 4
    if start > end:
        raise too_short(4, end - at)
    after = start + int.from_bytes(data[at:start], "big")
    if after > end:
        raise too_short(after - start, end - start)
    return after
