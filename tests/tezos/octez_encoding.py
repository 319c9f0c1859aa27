"""Data-encoding as Octez has it: readers that take what it takes, writers that write what it writes.

Independent of our reader and built the other way: a description is read into values and written back. Octez
checks an operation's signature over what it writes, not over what came in, so that bytes are worth signing
only if they come back the same. Source: data-encoding binary_reader.ml and binary_writer.ml.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class UnreadableError(Exception):
    """What Octez refuses to read."""


class Source:
    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.end = data, 0, len(data)

    def take(self, count: int) -> bytes:
        if count > self.end - self.at:
            raise UnreadableError
        self.at += count
        return self.data[self.at - count : self.at]


@dataclass(frozen=True)
class Encoding:
    read: Callable[[Source], Any]
    write: Callable[[Any], bytes]


def whole(encoding: Encoding, data: bytes) -> tuple[Any, bool]:
    """The value that fills `data`, and whether it is written back as the same bytes."""
    source = Source(data)
    value = encoding.read(source)
    _must(source.at == len(data))
    return value, encoding.write(value) == data


def _must(held: object) -> None:
    if not held:
        raise UnreadableError


def guard(encoding: Encoding, holds: Callable[[Any], bool]) -> Encoding:
    def read(source: Source) -> Any:
        value = encoding.read(source)
        _must(holds(value))
        return value

    return Encoding(read, encoding.write)


def conv(encoding: Encoding, inward: Callable[[Any], Any], outward: Callable[[Any], Any]) -> Encoding:
    return Encoding(
        lambda source: inward(encoding.read(source)), lambda value: encoding.write(outward(value))
    )


def fixed(count: int) -> Encoding:
    return Encoding(lambda source: source.take(count), lambda value: value)


def integer(count: int, *, signed: bool = False) -> Encoding:
    return Encoding(
        lambda source: int.from_bytes(source.take(count), "big", signed=signed),
        lambda value: value.to_bytes(count, "big", signed=signed),
    )


EMPTY = fixed(0)
UINT8, UINT16 = integer(1), integer(2)
INT32, INT64 = integer(4, signed=True), integer(8, signed=True)
INT31 = guard(INT32, lambda value: -(2**30) <= value < 2**30)
BOOL = Encoding(lambda source: source.take(1) != b"\0", lambda value: b"\xff" if value else b"\0")
REST = Encoding(lambda source: source.take(source.end - source.at), lambda value: value)


def _zarith(bits: int) -> Encoding:
    """Numbers by groups of seven bits; the first group has `bits`, and a sign if those are six."""

    def read(source: Source) -> int:
        first = byte = source.take(1)[0]
        value, shift = first & (1 << bits) - 1, bits
        while byte & 0x80:
            byte = source.take(1)[0]
            _must(byte)
            value |= (byte & 0x7F) << shift
            shift += 7
        return -value if bits == 6 and first & 0x40 else value

    def write(value: int) -> bytes:
        left = abs(value) >> bits
        out = [abs(value) & (1 << bits) - 1 | (0x40 if value < 0 else 0) | (0x80 if left else 0)]
        while left:
            out.append(left & 0x7F | (0x80 if left >> 7 else 0))
            left >>= 7
        return bytes(out)

    return Encoding(read, write)


N, Z = _zarith(7), _zarith(6)


def tup(*parts: Encoding) -> Encoding:
    return Encoding(
        lambda source: tuple([part.read(source) for part in parts]),
        lambda value: b"".join(part.write(item) for part, item in zip(parts, value, strict=True)),
    )


def opt(encoding: Encoding) -> Encoding:
    """None or a tuple of one, by a boolean."""
    return Encoding(
        lambda source: (encoding.read(source),) if BOOL.read(source) else None,
        lambda value: b"\0" if value is None else b"\xff" + encoding.write(value[0]),
    )


def varopt(encoding: Encoding) -> Encoding:
    """The same by whether anything is left."""
    return Encoding(
        lambda source: (encoding.read(source),) if source.at < source.end else None,
        lambda value: b"" if value is None else encoding.write(value[0]),
    )


def union(cases: Mapping[int, Encoding]) -> Encoding:
    """The tag and the value of its case."""

    def read(source: Source) -> tuple[int, Any]:
        tag = source.take(1)[0]
        _must(tag in cases)
        return tag, cases[tag].read(source)

    return Encoding(read, lambda value: bytes([value[0]]) + cases[value[0]].write(value[1]))


def dynamic(encoding: Encoding = REST, length: Encoding = integer(4), longest: int = 2**30) -> Encoding:  # noqa: B008 - a constant
    def read(source: Source) -> Any:
        size, outer = length.read(source), source.end
        _must(size <= min(longest, outer - source.at))
        source.end = source.at + size
        value = encoding.read(source)
        _must(source.at == source.end)
        source.end = outer
        return value

    def write(value: Any) -> bytes:
        body = encoding.write(value)
        return length.write(len(body)) + body

    return Encoding(read, write)


def items(encoding: Encoding) -> Encoding:
    """As many as fill what is left."""

    def read(source: Source) -> list[Any]:
        found = []
        while source.at < source.end:
            found.append(encoding.read(source))
        return found

    return Encoding(read, lambda value: b"".join(map(encoding.write, value)))


def sequence(encoding: Encoding, most: int = 2**30) -> Encoding:
    return guard(dynamic(items(encoding)), lambda value: len(value) <= most)


def padded(encoding: Encoding, count: int) -> Encoding:
    """Octez drops the padding that it reads, and writes zeros."""
    return conv(tup(encoding, fixed(count)), lambda value: value[0], lambda value: (value, bytes(count)))
