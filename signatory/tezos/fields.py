"""The parts of operations: each passes over one field, or gives what it holds, or raises MalformedError.

Source: Octez data-encoding, signature_v3.ml, contract_repr.ml, entrypoint_repr.ml.
"""

from collections.abc import Callable

from signatory.errors import MalformedError
from signatory.tezos.accounts import IMPLICIT
from signatory.tezos.micheline import expression
from signatory.tezos.reader import Reader, too_short, unknown_tag

Field = Callable[[Reader], object]

PUBLIC_KEY_SIZES = (32, 33, 33, 48, 1312)
"""Bytes of a public key by its tag: ed25519, secp256k1, P-256, BLS, ML-DSA-44."""

SIGNATURE_SIZES = frozenset({64, 96, 2420})
"""Bytes of a signature that fills what is left: three families, BLS, ML-DSA-44."""

NAMED_ENTRYPOINT = 255
LAST_ENTRYPOINT = 9
"""From 0 to 9: default, root, do, set_delegate, remove_delegate, deposit, then those of `OWN_ENTRYPOINTS`."""
MAX_ENTRYPOINT = 31
"""Bytes of an entrypoint's name; any bytes, and none for the default one."""

TEZ_END = 2**63
"""Octez keeps amounts in 64 bits with sign, mutez."""


def number(reader: Reader) -> None:
    """A natural number of any size."""
    reader.number()


def integer(reader: Reader) -> None:
    """An integer of any size."""
    reader.integer()


def tez(reader: Reader) -> int:
    """An amount, mutez."""
    amount = reader.natural()
    if amount >= TEZ_END:
        raise MalformedError("the amount does not fit into 64 bits")
    return amount


def level(reader: Reader) -> None:
    """A level, which is not negative."""
    found = reader.i32()
    if found < 0:
        raise MalformedError(f"the level is negative: {found}")


def int31(reader: Reader) -> None:
    """Four bytes that hold a number of 31 bits, sign included."""
    found = reader.i32()
    if not -(2**30) <= found < 2**30:
        raise MalformedError(f"the number {found} does not fit into 31 bits")


def dynamic(reader: Reader) -> None:
    """Bytes or text with their length before them, four bytes."""
    reader.dynamic()


def flag(reader: Reader) -> None:
    """A boolean."""
    reader.boolean()


def fixed(count: int) -> Field:
    """So many bytes: hashes, and numbers of which every value is allowed."""

    def read(reader: Reader) -> None:
        reader.skip(count)

    return read


def below(limit: int) -> Field:
    """A tag of one byte, lower than `limit`."""

    def read(reader: Reader) -> None:
        tag = reader.u8()
        if tag >= limit:
            raise unknown_tag(tag)

    return read


def optional(*fields: Field) -> Field:
    """A flag, then the fields if it is set."""

    def read(reader: Reader) -> None:
        if reader.boolean():
            for field in fields:
                field(reader)

    return read


def optional_at_end(*fields: Field) -> Field:
    """The same, and absent where the bytes end: operations that had no such field before protocol 023."""
    present = optional(*fields)

    def read(reader: Reader) -> None:
        if reader.at < reader.end:
            present(reader)

    return read


def sized(*fields: Field) -> Field:
    """A length of four bytes, then the fields, which fill it exactly."""

    def read(reader: Reader) -> None:
        outer = reader.enter(reader.u32())
        for field in fields:
            field(reader)
        reader.leave(outer)

    return read


def each(*fields: Field) -> Field:
    """A length of four bytes, then the fields again and again until it is filled."""

    def read(reader: Reader) -> None:
        outer = reader.enter(reader.u32())
        while reader.at < reader.end:
            reader.count()
            for field in fields:
                field(reader)
        reader.leave(outer)

    return read


def tagged(cases: dict[int, tuple[Field, ...]]) -> Field:
    """A tag of one byte, then the fields of its case."""

    def read(reader: Reader) -> None:
        tag = reader.u8()
        if tag not in cases:
            raise unknown_tag(tag)
        for field in cases[tag]:
            field(reader)

    return read


def key_hash(reader: Reader) -> bytes:
    """A public key hash: the tag of the family, 20 bytes."""
    at = reader.at
    after = at + 21
    if after > reader.end:
        raise too_short(21, reader.end - at)
    if reader.data[at] > reader.max_key_tag:
        raise unknown_tag(reader.data[at])
    reader.at = after
    return reader.data[at:after]


def implicit(reader: Reader) -> bytes:
    """A public key hash, as the account that it names."""
    return IMPLICIT + key_hash(reader)


def public_key(reader: Reader) -> bytes:
    """A public key: the tag of the family, as many bytes as that has."""
    at = reader.at
    tag = reader.u8()
    if tag > reader.max_key_tag:
        raise unknown_tag(tag)
    reader.skip(PUBLIC_KEY_SIZES[tag])
    return reader.data[at : reader.at]


def contract(reader: Reader) -> bytes:
    """An account: 0 and a public key hash, or 1, 20 bytes and a zero of padding. Its 22 bytes."""
    at = reader.at
    tag = reader.u8()
    if tag == 0:
        key_hash(reader)
    elif tag == 1:
        reader.skip(21)
        if reader.data[reader.at - 1]:
            raise MalformedError("the padding after an address is not zero")
    else:
        raise unknown_tag(tag)
    return reader.data[at : reader.at]


def originated(reader: Reader) -> bytes:
    """An account that is a contract, only."""
    if reader.at < reader.end and reader.data[reader.at] != 1:
        raise unknown_tag(reader.data[reader.at])
    return contract(reader)


def manager(reader: Reader) -> tuple[bytes, int]:
    """What every manager operation begins with: source, fee, counter, gas limit, storage limit.

    The source's 21 bytes, and the fee in mutez.
    """
    source = key_hash(reader)
    fee = tez(reader)
    reader.natural()
    reader.natural()
    reader.natural()
    return source, fee


def script(reader: Reader) -> None:
    """One Micheline expression with its length before it."""
    outer = reader.enter(reader.u32())
    expression(reader)
    reader.leave(outer)


def entrypoint(reader: Reader) -> int:
    """An entrypoint: its tag; a named one (255) has its name after it."""
    tag = reader.u8()
    if tag == NAMED_ENTRYPOINT:
        _name(reader, reader.u8())
    elif tag > LAST_ENTRYPOINT:
        raise unknown_tag(tag)
    return tag


def entrypoint_name(reader: Reader) -> None:
    """An entrypoint that is always spelled out, its length in four bytes."""
    _name(reader, reader.u32())


def _name(reader: Reader, length: int) -> None:
    if length > MAX_ENTRYPOINT:
        raise MalformedError(
            f"the entrypoint's name is {length} characters long, at most {MAX_ENTRYPOINT} are allowed"
        )
    reader.skip(length)


def signature(reader: Reader) -> None:
    """A signature that fills what is left of its surroundings."""
    size = reader.end - reader.at
    if size not in SIGNATURE_SIZES:
        raise MalformedError(f"no signature is {size} bytes long")
    reader.at = reader.end
