"""Micheline, the form of Michelson programs and data: find the end of an expression, strictly.

Source: Octez micheline_encoding.ml. Works off a list of what is still to come instead of recursing, so that
nesting costs the sender, not us.
"""

from signatory.errors import MalformedError
from signatory.tezos.reader import Reader, unknown_tag

MAX_NODES = 50_000
"""Nodes of one expression, as in the protocol."""

MAX_DEPTH = 10_000
"""Nesting of one expression; the protocol's own interpreter stops there."""

_EXPRESSION = -1
_ANNOTATIONS = -2

# What follows the name of a primitive, last thing first. Tag 9 holds any number of arguments and is apart.
_PRIMITIVES: dict[int, tuple[int, ...]] = {
    3: (),
    4: (_ANNOTATIONS,),
    5: (_EXPRESSION,),
    6: (_ANNOTATIONS, _EXPRESSION),
    7: (_EXPRESSION, _EXPRESSION),
    8: (_ANNOTATIONS, _EXPRESSION, _EXPRESSION),
}


def expression(reader: Reader) -> None:
    """Pass over one expression. Raises MalformedError, also above MAX_NODES and MAX_DEPTH.

    Names of primitives are not checked: a protocol may have more of them than we know.
    """
    # What is to come, last thing first: an expression, annotations, or the end that a sequence goes back to.
    pending = [_EXPRESSION]
    nodes = 0
    while pending:
        item = pending.pop()
        if item == _EXPRESSION:
            nodes += 1
            if nodes > MAX_NODES:
                raise MalformedError(f"the Micheline expression has more than {MAX_NODES} nodes")
            _node(reader, pending)
            if len(pending) > 2 * MAX_DEPTH:  # a level leaves at most two things to come
                raise MalformedError("the Micheline expression is nested too deeply")
        elif item == _ANNOTATIONS:
            reader.dynamic()
        elif reader.at < reader.end:
            pending += (item, _EXPRESSION)
        else:
            reader.leave(item)


def _node(reader: Reader, pending: list[int]) -> None:
    tag = reader.u8()
    if tag in _PRIMITIVES:
        reader.skip(1)
        pending += _PRIMITIVES[tag]
    elif tag == 0:
        reader.integer()
    elif tag in {1, 10}:
        reader.dynamic()
    elif tag == 2:
        pending.append(reader.enter(reader.u32()))
    elif tag == 9:
        reader.skip(1)
        pending += (_ANNOTATIONS, reader.enter(reader.u32()))
    else:
        raise unknown_tag(tag)
