"""Strict DER, as much of it as private keys need: definite, shortest lengths, nothing left over."""

from signatory.errors import MalformedError

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_ID = 0x06
SEQUENCE = 0x30


class Reader:
    """A cursor over the elements of one value. Every method raises MalformedError for what is not DER."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def peek(self) -> int | None:
        """The tag of the next element; None at the end."""
        return self._data[self._at] if self._at < len(self._data) else None

    def take(self, tag: int) -> bytes:
        """The content of the next element, which must have this tag."""
        if self.peek() != tag:
            raise MalformedError("the DER structure is not that of a private key")
        start = self._at + 1
        first = self._byte(start)
        start += 1
        if first < 0x80:
            size = first
        else:
            count = first - 0x80
            size = int.from_bytes(self._data[start : start + count], "big")
            if not 1 <= count <= 3 or size < max(0x80, 1 << 8 * (count - 1)):
                raise MalformedError("the DER structure has a length that is not in its shortest form")
            start += count
        self._at = start + size
        if self._at > len(self._data):
            raise MalformedError("the DER structure ends too early")
        return self._data[start : self._at]

    def optional(self, tag: int) -> bytes | None:
        """The content of the next element if it has this tag."""
        return self.take(tag) if self.peek() == tag else None

    def sequence(self) -> "Reader":
        """A cursor into the next element, a SEQUENCE."""
        return Reader(self.take(SEQUENCE))

    def rest(self) -> bytes:
        """Whatever is left, unread."""
        rest, self._at = self._data[self._at :], len(self._data)
        return rest

    def end(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._data):
            raise MalformedError("the DER structure goes on after its end")

    def _byte(self, index: int) -> int:
        if index >= len(self._data):
            raise MalformedError("the DER structure ends too early")
        return self._data[index]


def only(data: bytes, tag: int) -> bytes:
    """The content of the one element that the data is."""
    reader = Reader(data)
    content = reader.take(tag)
    reader.end()
    return content


def bits(content: bytes) -> bytes:
    """The whole bytes in the content of a BIT STRING."""
    if content[:1] != b"\0":
        raise MalformedError("the public part is not a whole number of bytes")
    return content[1:]
