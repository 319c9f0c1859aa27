"""A bounds-checked cursor over the binary encoding of Tezos.

Source: Octez data-encoding; error texts are Signatory's (gotez). Numbers are big-endian. What only has to be
passed over is not built. Every method raises MalformedError when the bytes end too early.
"""

import re

from signatory.errors import MalformedError

MAX_ITEMS = 50_000
"""Nodes of Micheline and elements of lists in one request, together.

The protocol stops at as many nodes; the 32 KiB that a network takes hold some 16,000 of the smallest.
"""


def too_many() -> MalformedError:
    """The error for more than MAX_ITEMS."""
    return MalformedError(f"the request has more than {MAX_ITEMS} nodes and list elements")


def too_short(expected: int, had: int) -> MalformedError:
    """The error for bytes that end before the value does."""
    return MalformedError(f"gotez: buffer is too short, at least {expected} byte(s) were expected, had {had}")


def unknown_tag(tag: int) -> MalformedError:
    """The error for a tag that has no meaning at its place."""
    return MalformedError(f"gotez: unknown tag {tag}")


def trailing(count: int) -> MalformedError:
    """The error for bytes after the value that should have filled them."""
    return MalformedError(f"gotez: {count} byte(s) left over after the value")


MAX_NATURAL = 10
"""Bytes of a natural number that is read as a value: 70 bits, as Octez takes for amounts, fees and gas."""

_LAST_OF_NUMBER = re.compile(b"[\x00-\x7f]")


class Reader:
    """The cursor: `at` is the next byte, `end` is where the innermost value must end.

    `max_key_tag` is the highest tag of a key family that the grammar knows: 3 up to tz4, 4 with tz5. `items`
    counts what MAX_ITEMS bounds.
    """

    __slots__ = ("at", "data", "end", "items", "max_key_tag")

    def __init__(self, data: bytes, *, max_key_tag: int = 4) -> None:
        self.data = data
        self.at = 0
        self.end = len(data)
        self.items = 0
        self.max_key_tag = max_key_tag

    def skip(self, count: int) -> None:
        """Pass over `count` bytes."""
        after = self.at + count
        if after > self.end:
            raise too_short(count, self.end - self.at)
        self.at = after

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        start = self.at
        self.skip(count)
        return self.data[start : self.at]

    def u8(self) -> int:
        """One byte: a number or a tag."""
        at = self.at
        if at >= self.end:
            raise too_short(1, 0)
        self.at = at + 1
        return self.data[at]

    def u16(self) -> int:
        """Two bytes, unsigned."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """Four bytes, unsigned: a length."""
        at = self.at
        after = at + 4
        if after > self.end:
            raise too_short(4, self.end - at)
        self.at = after
        return int.from_bytes(self.data[at:after], "big")

    def i32(self) -> int:
        """Four bytes, signed."""
        return int.from_bytes(self.take(4), "big", signed=True)

    def boolean(self) -> bool:
        """One byte, 00 or ff. Others, which data-encoding reads as true, would be a second spelling."""
        value = self.u8()
        if value not in {0x00, 0xFF}:
            raise MalformedError(f"gotez: invalid boolean {value:#04x}")
        return value == 0xFF

    def number(self) -> None:
        """Pass over a natural number of any size: groups of seven bits, the top bit says that more follow.

        A last group of zeros is no shortest form and is refused, as in data-encoding.
        """
        start, end = self.at, self.end
        last = _LAST_OF_NUMBER.search(self.data, start, end)
        if last is None:
            raise MalformedError(
                f"gotez: (bigint) buffer is too short, at least {end - start + 1} byte(s) were expected"
            )
        self.at = last.end()
        if self.data[self.at - 1] == 0 and self.at - start > 1:
            raise MalformedError("gotez: (bigint) the number has leading zeros")

    def integer(self) -> None:
        """Pass over an integer of any size: the same, but bit 6 of the first byte is the sign.

        Minus zero is refused: it would be a second spelling.
        """
        at = self.at
        self.number()
        if self.data[at] == 0x40:
            raise MalformedError("gotez: (bigint) minus zero is no number")

    def natural(self) -> int:
        """A natural number in its shortest form, of at most MAX_NATURAL bytes."""
        at = self.at
        if at < self.end:
            byte = self.data[at]
            if byte < 0x80:
                self.at = at + 1
                return byte
        self.number()
        if self.at - at > MAX_NATURAL:
            raise MalformedError(f"gotez: (bigint) the number is {self.at - at} bytes long")
        value = shift = 0
        for byte in self.data[at : self.at]:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value

    def count(self) -> None:
        """Note one more element of a list. Raises MalformedError above MAX_ITEMS."""
        self.items += 1
        if self.items > MAX_ITEMS:
            raise too_many()

    def dynamic(self) -> None:
        """Pass over bytes that are preceded by their length."""
        self.skip(self.u32())

    def enter(self, length: int) -> int:
        """Confine reading to the next `length` bytes; give the answer to `leave`."""
        outer = self.end
        after = self.at + length
        if after > outer:
            raise too_short(length, outer - self.at)
        self.end = after
        return outer

    def leave(self, outer: int) -> None:
        """End the confinement. Raises MalformedError when not all of its bytes were read."""
        self.finish()
        self.end = outer

    def finish(self) -> None:
        """Raises MalformedError when bytes are left over."""
        if self.at != self.end:
            raise trailing(self.end - self.at)
