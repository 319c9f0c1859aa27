"""One CBOR item, read as the reference's server reads it, whose habits no general decoder has.

Tags are skipped, ints may be longer than needed or a bignum, maps keep their duplicates and say whether they
were definite, bytes after the item are not looked at; strings of indefinite length are refused. Errors carry
the texts of the reference's decoder (ciborium, Debug form). Source: reference RPC, "what the server accepts".
"""

from dataclasses import dataclass

from signatory.errors import MalformedError

MAX_DEPTH = 64
"""The reference goes to 256; no message needs more than 5, a chain of errors more than a dozen."""

MAX_CONTAINERS = 4096
"""Arrays and maps in one item: honest messages have few, hostile ones would cost 60 times its size."""

END_OF_FILE = 'Io(Error { kind: UnexpectedEof, message: "failed to fill whole buffer" })'


@dataclass(frozen=True, slots=True)
class Map:
    """The entries as they came, duplicates included."""

    entries: list[tuple["Item", "Item"]]
    definite: bool


class Bignum(bytes):
    """The bytes behind a tag 2: an integer where one is expected, else just bytes."""

    __slots__ = ()


class Other:
    """A float or an unassigned simple value: nothing in the protocol is one."""

    __slots__ = ()


Item = int | bytes | str | list["Item"] | Map | bool | Other | None

_BREAK = object()
_OTHER = Other()
_SIMPLE: dict[int, bool | None] = {20: False, 21: True, 22: None, 23: None}


def read(data: bytes, *, whole: bool = False) -> Item:
    """The first item; with `whole` nothing may follow it. Raises MalformedError with the reference's text."""
    reader = _Reader(data)
    item = reader.item(0)
    if whole and reader.left:
        raise MalformedError(semantic(f"{reader.left} bytes follow the item"))
    return item


class _Reader:
    __slots__ = ("_at", "_containers", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._containers = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def item(self, depth: int) -> Item:
        found = self._next(depth)
        if found is _BREAK:
            raise _syntax(self._at - 1)
        return found  # type: ignore[return-value]  # all that is left is an Item

    def _next(self, depth: int) -> object:
        start = self._at
        major, size = self._head()
        big = False
        while major == 6:
            big = size == 2
            start = self._at
            major, size = self._head()
        if size is None:
            return self._indefinite(major, start, depth)
        if major == 0:
            return size
        if major == 2:
            return Bignum(self._take(size)) if big else self._take(size)
        if major == 3:
            return self._text(size, start)
        if major in (4, 5):
            return self._container(major, size, depth)
        return -1 - size if major == 1 else self._simple(start)

    def _head(self) -> tuple[int, int | None]:
        head = self._take(1)[0]
        major, info = head >> 5, head & 31
        if info < 24:
            return major, info
        if info < 28:
            return major, int.from_bytes(self._take(1 << (info - 24)), "big")
        if info < 31 or major in (0, 1, 6):
            raise _syntax(self._at - 1)
        return major, None

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise MalformedError(END_OF_FILE)
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _text(self, size: int, start: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError:
            raise _syntax(start) from None

    def _container(self, major: int, size: int, depth: int) -> Item:
        self._enter(depth)
        if size > len(self._data) - self._at:
            raise MalformedError(END_OF_FILE)
        if major == 4:
            return self._array(size, depth)
        return Map([(self.item(depth + 1), self.item(depth + 1)) for _ in range(size)], definite=True)

    def _array(self, size: int, depth: int) -> list[Item]:
        # Long ones are bytes spelt as small integers: these are read in place, all else through `item`.
        found: list[Item] = []
        data, last = self._data, len(self._data) - 1
        for _ in range(size):
            at = self._at
            if at <= last and data[at] < 24:
                found.append(data[at])
                self._at = at + 1
            elif at < last and data[at] == 24:
                found.append(data[at + 1])
                self._at = at + 2
            else:
                found.append(self.item(depth + 1))
        return found

    def _indefinite(self, major: int, start: int, depth: int) -> object:
        if major == 7:
            return _BREAK
        if major in (2, 3):
            name, expected = ("bytes", "bytes") if major == 2 else ("string", "str")
            raise MalformedError(semantic(f"invalid type: {name}, expected {expected}"))
        self._enter(depth)
        found: list[Item] = []
        while (element := self._next(depth + 1)) is not _BREAK:
            found.append(element)  # type: ignore[arg-type]  # all that is left is an Item
        if major == 4:
            return found
        if len(found) % 2:
            raise _syntax(start)
        return Map(list(zip(found[::2], found[1::2], strict=True)), definite=False)

    def _enter(self, depth: int) -> None:
        self._containers += 1
        if depth >= MAX_DEPTH or self._containers > MAX_CONTAINERS:
            raise MalformedError("RecursionLimitExceeded")

    def _simple(self, start: int) -> bool | Other | None:
        return _SIMPLE.get(self._data[start] & 31, _OTHER)


def semantic(text: str) -> str:
    """The text of an item that is well formed but not what was expected."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'Semantic(None, "{escaped}")'


def _syntax(offset: int) -> MalformedError:
    return MalformedError(f"Syntax({offset})")
