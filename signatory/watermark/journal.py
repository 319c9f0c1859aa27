"""The journal of marks as bytes: a header, then one frame for each batch that became durable at once.

All numbers are big-endian.

| part | layout |
|---|---|
| header | 8 bytes magic with the version, 8 epoch, 1 length of the store's name, the name, 4 CRC-32 |
| frame | 4 bytes magic, 4 length of the body, 8 sequence, 4 CRC-32, the body |
| row of a body | chain, key hash, kind, each after 2 bytes length; 4 level, 4 round, 0 or 1 and the hash |

Frame 0 holds every mark there was when the file was made; the later ones what was added. The CRC of a frame
starts from the header's, so that what an older journal left on the same blocks is no frame of this one.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from signatory.errors import MalformedError
from signatory.watermark.anchor import Epoch
from signatory.watermark.marks import LEVELS, Table, higher
from signatory.watermark.rules import Mark
from signatory.watermark.store import Marks

MAGIC = b"MARKS\r\n\x01"
"""The last byte is the version of the format."""

MAX_TEXT = 2**16 - 1

_EPOCH = struct.Struct(">8sQB")
_CRC = struct.Struct(">I")
_FRAME = struct.Struct(">4sIQI")
_FRAME_MAGIC = b"\xf5MK\n"
_LENGTH = struct.Struct(">H")
_PLACE = struct.Struct(">IIB")
_HASH = 32


@dataclass(frozen=True, slots=True)
class Journal:
    """What a journal says."""

    epoch: Epoch
    marks: Table
    dropped: int = 0
    """Bytes of a last batch that is not whole: it was never durable, so nothing was signed after it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Whose mark it is."""

    chain: str
    pkh: str
    kind: str


def header(epoch: Epoch) -> bytes:
    """The start of a file."""
    name = epoch.store.encode("ascii")
    data = _EPOCH.pack(MAGIC, epoch.number, len(name)) + name
    return data + _CRC.pack(zlib.crc32(data))


def row(place: Place, mark: Mark) -> bytes:
    """One mark in the body of a frame. Raises MalformedError for one that no journal can hold."""
    if mark.level not in LEVELS or mark.round not in LEVELS:
        raise MalformedError(f"{mark} is not from 0 to 2147483647")
    if mark.hash is not None and len(mark.hash) != _HASH:
        raise MalformedError(f"the hash of a mark has {len(mark.hash)} bytes, not {_HASH}")
    return (
        _texts(place.chain, place.pkh, place.kind)
        + _PLACE.pack(mark.level, mark.round, mark.hash is not None)
        + (mark.hash or b"")
    )


def frame(start: bytes, sequence: int, rows: Iterable[bytes]) -> bytes:
    """One batch; `start` is the header of its file."""
    body = b"".join(rows)
    return _FRAME.pack(_FRAME_MAGIC, len(body), sequence, _check(start, sequence, body)) + body


def snapshot(epoch: Epoch, marks: Marks) -> bytes:
    """A new file that holds `marks`. Raises MalformedError."""
    start = header(epoch)
    return start + frame(
        start,
        0,
        (
            row(Place(chain, pkh, kind), mark)
            for chain, keys in marks.items()
            for pkh, kinds in keys.items()
            for kind, mark in kinds.items()
        ),
    )


def read(data: bytes) -> Journal:
    """Read a file. A last batch that is not whole is dropped; anything else not whole is MalformedError."""
    epoch, at = _header(data)
    start = data[:at]
    marks: Table = {}
    sequence = 0
    while at < len(data):
        found = _frame(data, at, start)
        if found is None:
            if sequence == 0 or _goes_on(data, at, start, sequence):
                raise MalformedError(f"it is damaged at byte {at}")
            return Journal(epoch, marks, len(data) - at)
        if found[0] != sequence:
            raise MalformedError(f"the batch at byte {at} is number {found[0]}, not {sequence}")
        for place, mark in _rows(found[1], at):
            kinds = marks.setdefault(place.chain, {}).setdefault(place.pkh, {})
            kinds[place.kind] = higher(kinds.get(place.kind), mark)
        at, sequence = at + _FRAME.size + len(found[1]), sequence + 1
    if sequence == 0:
        raise MalformedError(f"it ends at byte {at}, before its first batch")
    return Journal(epoch, marks)


def _header(data: bytes) -> tuple[Epoch, int]:
    """The epoch, and where the frames begin. The header was durable before the file had its name."""
    if data[: len(MAGIC) - 1] != MAGIC[:-1]:
        raise MalformedError("it does not begin as a journal of marks")
    if data[len(MAGIC) - 1 : len(MAGIC)] != MAGIC[-1:]:
        raise MalformedError("it is a journal of another version")
    if len(data) < _EPOCH.size:
        raise MalformedError(f"it ends at byte {len(data)}, inside its header")
    _, number, length = _EPOCH.unpack_from(data)
    end = _EPOCH.size + length
    if data[end : end + _CRC.size] != _CRC.pack(zlib.crc32(data[:end])):
        raise MalformedError("its header is damaged")
    return Epoch.checked(data[_EPOCH.size : end].decode("ascii", "replace"), number), end + _CRC.size


def _check(start: bytes, sequence: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_FRAME.pack(_FRAME_MAGIC, len(body), sequence, 0), zlib.crc32(start)))


def _frame(data: bytes, at: int, start: bytes) -> tuple[int, bytes] | None:
    """Sequence and body of the frame at `at`; None where there is no whole one."""
    if len(data) - at < _FRAME.size:
        return None
    magic, length, sequence, check = _FRAME.unpack_from(data, at)
    body = data[at + _FRAME.size : at + _FRAME.size + length]
    if magic != _FRAME_MAGIC or len(body) != length or check != _check(start, sequence, body):
        return None
    return sequence, body


def _goes_on(data: bytes, at: int, start: bytes, sequence: int) -> bool:
    """Whether a whole later batch follows: that at `at` was durable once, and is damaged, not torn."""
    while (at := data.find(_FRAME_MAGIC, at + 1)) >= 0:
        possible = range(sequence, sequence + 1 + len(data) // _FRAME.size)
        found = _frame(data, at, start)
        if found is not None and found[0] in possible:
            return True
    return False


def _rows(body: bytes, at: int) -> Iterator[tuple[Place, Mark]]:
    """The marks of a frame whose CRC is right; `at` is for the message."""
    position = 0
    try:
        while position < len(body):
            texts = []
            for _ in range(3):
                (length,) = _LENGTH.unpack_from(body, position)
                position += _LENGTH.size
                texts.append(_exactly(body, position, length).decode("utf-8", "surrogatepass"))
                position += length
            level, round_, known = _PLACE.unpack_from(body, position)
            position += _PLACE.size
            hash_ = _exactly(body, position, _HASH) if known else None
            position += _HASH if known else 0
            if level not in LEVELS or round_ not in LEVELS or known > 1:
                raise MalformedError(f"the batch at byte {at} has a mark that cannot be")
            yield Place(*texts), Mark(level, round_, hash_)
    except (struct.error, UnicodeDecodeError) as error:
        raise MalformedError(f"the batch at byte {at} has a row that is cut short") from error


def _exactly(body: bytes, position: int, length: int) -> bytes:
    part = body[position : position + length]
    if len(part) != length:
        raise struct.error("short")
    return part


@lru_cache(maxsize=4096)
def _texts(chain: str, pkh: str, kind: str) -> bytes:
    return b"".join((_text(chain), _text(pkh), _text(kind)))


def _text(text: str) -> bytes:
    """A length and the text. Names in JSON may hold half of a surrogate pair, which strict UTF-8 refuses."""
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > MAX_TEXT:
        raise MalformedError(f"a name of {len(data)} bytes is too long for a journal")
    return _LENGTH.pack(len(data)) + data
