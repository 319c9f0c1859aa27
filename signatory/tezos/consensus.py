"""Blocks, attestations and preattestations: their grammar, and the level and round that they commit to.

Source: Octez block_header.ml and operation_repr.ml (protocol 025), signatory-compat §4.1.
"""

from collections.abc import Callable

from signatory.errors import MalformedError
from signatory.tezos.reader import Reader, unknown_tag

Place = tuple[int, int]
"""Level and round, both at least 0."""

HASH = 32


def place(level: int, round_: int) -> Place:
    """The pair, checked: no block and no attestation has a negative level or round."""
    if level < 0:
        raise MalformedError(f"the level is negative: {level}")
    if round_ < 0:
        raise MalformedError(f"the round is negative: {round_}")
    return level, round_


def block_header(reader: Reader) -> tuple[int, bytes]:
    """Pass over an unsigned block header: its level, not checked here, and its fitness.

    Shell: level, protocol, predecessor, timestamp, validation pass, operations hash, fitness, context. Then
    what the protocol adds: payload hash, payload round, proof of work nonce, seed nonce hash if any, votes.
    """
    level = reader.i32()
    reader.skip(1 + HASH + 8 + 1 + HASH)
    fitness = reader.take(reader.u32())
    reader.skip(HASH + HASH)
    payload_round = reader.i32()
    if payload_round < 0:
        raise MalformedError(f"the round of the payload is negative: {payload_round}")
    reader.skip(8)
    if reader.boolean():
        reader.skip(HASH)
    reader.skip(1)
    return level, fitness


def block(reader: Reader) -> Place:
    """Level and round of the block header: the round is the last four bytes of the fitness.

    It is not the payload round: a block that is proposed again keeps that one.
    """
    level, fitness = block_header(reader)
    if len(fitness) < 4:
        raise MalformedError(f"the fitness of the block holds no round: it is {len(fitness)} byte(s) long")
    return place(level, int.from_bytes(fitness[-4:], "big", signed=True))


def with_slot(reader: Reader) -> Place:
    """Slot, level, round, payload hash: tags 20 and 21."""
    reader.skip(2)
    return without_slot(reader)


def with_dal(reader: Reader) -> Place:
    """The same and the attested data-availability slots, an integer: tag 23."""
    found = with_slot(reader)
    reader.integer()
    return found


def without_slot(reader: Reader) -> Place:
    """Level, round, payload hash: what a tz4 key signs, tags 40 and 41."""
    level, round_ = reader.i32(), reader.i32()
    reader.skip(HASH)
    return place(level, round_)


Content = tuple[str, Callable[[Reader], Place]]

PREATTESTATIONS: dict[int, Content] = {
    20: ("preattestation", with_slot),
    40: ("preattestation", without_slot),
}
ATTESTATIONS: dict[int, Content] = {
    21: ("attestation", with_slot),
    23: ("attestation_with_dal", with_dal),
    41: ("attestation", without_slot),
}

PREATTESTATIONS_022: dict[int, Content] = {20: ("preattestation", with_slot)}
ATTESTATIONS_022: dict[int, Content] = {21: ("attestation", with_slot), 23: ("attestation", with_dal)}
"""Protocol 022 calls both forms of an attestation by one name."""


def operation(reader: Reader, contents: dict[int, Content]) -> tuple[str, Place]:
    """Kind, and level and round, of a consensus operation: branch, tag, content."""
    reader.skip(HASH)
    tag = reader.u8()
    content = contents.get(tag)
    if content is None:
        raise unknown_tag(tag)
    kind, read = content
    return kind, read(reader)
