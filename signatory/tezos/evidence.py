"""Accusations and aggregates: operations that carry the consensus operations or blocks of others inside.

Source: Octez operation_repr.ml; the later grammar is that of protocol 025, the names with 022 are that one's.
"""

from signatory.tezos import consensus
from signatory.tezos.fields import (
    Field,
    dynamic,
    each,
    fixed,
    int31,
    integer,
    optional,
    signature,
    sized,
    tagged,
)
from signatory.tezos.reader import Reader

HASH = 32
SLOT = fixed(2)


def _block(reader: Reader) -> None:
    level, _ = consensus.block_header(reader)
    consensus.place(level, 0)
    signature(reader)


def _inlined(cases: dict[int, tuple[Field, ...]]) -> Field:
    """A signed consensus operation of somebody: length, branch, content, signature."""
    return sized(fixed(HASH), tagged(cases), signature)


PREATTESTATIONS_AGGREGATE: tuple[Field, ...] = (consensus.without_slot, each(SLOT))
ATTESTATIONS_AGGREGATE: tuple[Field, ...] = (consensus.without_slot, each(SLOT, optional(integer)))

_CONTENTS: dict[int, tuple[Field, ...]] = {
    20: (consensus.with_slot,),
    21: (consensus.with_slot,),
    23: (consensus.with_dal,),
    30: PREATTESTATIONS_AGGREGATE,
    31: ATTESTATIONS_AGGREGATE,
}
_ATTESTATIONS_022: dict[int, tuple[Field, ...]] = {21: (consensus.with_slot,), 23: (consensus.with_dal,)}
_PREATTESTATIONS_022: dict[int, tuple[Field, ...]] = {20: (consensus.with_slot,)}

# Index of the shard, the shard itself, the proof that it belongs to the slot's commitment.
_SHARD: tuple[Field, ...] = (int31, dynamic, fixed(48))

DOUBLE_BAKING: tuple[Field, ...] = (sized(_block), sized(_block))

# The slot of the culprit, then both operations.
DOUBLE_CONSENSUS: tuple[Field, ...] = (SLOT, _inlined(_CONTENTS), _inlined(_CONTENTS))
DOUBLE_ATTESTATION_022: tuple[Field, ...] = (_inlined(_ATTESTATIONS_022), _inlined(_ATTESTATIONS_022))
DOUBLE_PREATTESTATION_022: tuple[Field, ...] = (
    _inlined(_PREATTESTATIONS_022),
    _inlined(_PREATTESTATIONS_022),
)

# Attestation, slot of its author, index of the data slot, index of the lag (since protocol 025), shard.
DAL_ENTRAPMENT: tuple[Field, ...] = (_inlined(_CONTENTS), SLOT, fixed(1), optional(fixed(1)), *_SHARD)
DAL_ENTRAPMENT_022: tuple[Field, ...] = (_inlined(_ATTESTATIONS_022), fixed(1), *_SHARD)
