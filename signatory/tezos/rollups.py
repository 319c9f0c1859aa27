"""The fields of smart-rollup and zk-rollup operations.

Source: Octez sc_rollup_game_repr.ml, sc_rollup_proof_repr.ml, zk_rollup_operation_repr.ml and
zk_rollup_update_repr.ml.
"""

from signatory.errors import MalformedError
from signatory.tezos.accounts import SMART_ROLLUP, ZK_ROLLUP
from signatory.tezos.fields import (
    Field,
    below,
    contract,
    dynamic,
    each,
    fixed,
    flag,
    int31,
    key_hash,
    level,
    number,
    optional,
    script,
    tagged,
)
from signatory.tezos.micheline import expression
from signatory.tezos.reader import Reader

ADDRESS = fixed(20)
HASH = fixed(32)
SCALARS = each(fixed(32))
"""Numbers of the proof system."""
MAX_RAW_DATA = 4096
"""Bytes of preimage data that one proof reveals."""


def _raw_data(reader: Reader) -> None:
    length = reader.u16()
    if length > MAX_RAW_DATA:
        raise MalformedError(f"the revealed data is {length} bytes long, at most {MAX_RAW_DATA} are allowed")
    reader.skip(length)


_REVEAL = tagged(
    {
        0: (_raw_data,),
        1: (),  # metadata
        2: (level, fixed(1 + 2), dynamic),  # level, slot index and page index of a DAL page; its proof
        3: (),  # DAL parameters
    }
)
_INPUT = tagged(
    {
        0: (level, number, dynamic),  # level of the inbox, message counter, proof
        1: (_REVEAL,),
        2: (),  # the first input
    }
)
_STEP = tagged(
    {
        0: (each(optional(HASH), number),),  # dissection: states and ticks
        1: (dynamic, optional(_INPUT)),  # proof of one step of the machine, and of its input
    }
)
_REFUTATION = tagged(
    {
        0: (HASH, HASH),  # start: commitments of player and opponent
        1: (number, _STEP),  # move: chosen tick, step
    }
)

# The kind of machine, its program, the type of the rollup's parameter.
ORIGINATE: tuple[Field, ...] = (below(3), dynamic, script)
ADD_MESSAGES: tuple[Field, ...] = (each(dynamic),)
CEMENT: tuple[Field, ...] = (ADDRESS,)
# A commitment: state, level of the inbox, the commitment before it, ticks.
COMMITMENT: tuple[Field, ...] = (HASH, level, HASH, fixed(8))
REFUTE: tuple[Field, ...] = (ADDRESS, key_hash, _REFUTATION)
TIMEOUT: tuple[Field, ...] = (ADDRESS, key_hash, key_hash)
EXECUTE_OUTBOX_MESSAGE: tuple[Field, ...] = (ADDRESS, HASH, dynamic)

# Absent or contents, type and issuer of a ticket; unlike a flag, this tag is 0 or 1.
ZK_TICKET = tagged({0: (), 1: (expression, expression, contract)})

# Parameters of the proof system, circuits by name and kind, first state, number of operations.
ZK_ORIGINATION: tuple[Field, ...] = (dynamic, each(dynamic, below(3)), SCALARS, int31)
# Pending and private inputs by circuit (state, fee, validity of the exit), the state after fees, the proof.
ZK_UPDATE: tuple[Field, ...] = (
    ADDRESS,
    each(dynamic, SCALARS, HASH, flag),
    each(dynamic, SCALARS, HASH),
    SCALARS,
    dynamic,
)


def smart_rollup(reader: Reader) -> bytes:
    """The address of a smart rollup, as an account."""
    return SMART_ROLLUP + reader.take(20) + b"\0"


def zk_rollup(reader: Reader) -> bytes:
    """The address of a zk rollup, as an account."""
    return ZK_ROLLUP + reader.take(20) + b"\0"
