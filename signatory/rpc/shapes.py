"""From CBOR items to what the messages are made of: variants, structs, bytes, integers, key types.

Every function takes an item and returns a value, or raises MalformedError with the reference's text.
"""

from collections.abc import Mapping, Sequence

from signatory.crypto.curves import BY_WIRE_NAME, LENGTHS, WIRE_NAMES, KeyType
from signatory.errors import MalformedError
from signatory.rpc.cbor import Bignum, Item, Map, semantic

NAMES = WIRE_NAMES
"""The key families on the wire; an old peer answers "unknown variant" to a name that is ours."""

BY_NAME = BY_WIRE_NAME

_U64 = 2**64


def fail(text: str) -> MalformedError:
    return MalformedError(semantic(text))


def variant(item: Item) -> tuple[str, Item]:
    """The name and the value of an enum with data: a definite map of one entry.

    The reference also takes a bare name with the value behind it, by accident; that is refused here.
    """
    if not isinstance(item, Map) or not item.definite or len(item.entries) != 1:
        raise fail(f"invalid type: {_kind(item)}, expected enum")
    ((key, value),) = item.entries
    return name_of(key), value


def name_of(item: Item) -> str:
    """A variant or field name: text, or the same as a byte string."""
    if isinstance(item, bytes):
        return item.decode("utf-8", "replace")
    if isinstance(item, str):
        return item
    raise fail(f"invalid type: {_kind(item)}, expected str or bytes")


def key_type(item: Item) -> KeyType:
    """A key family: its name, or a map from its name to null."""
    name = item if isinstance(item, str) else None
    if name is None:
        name, value = variant(item)
        if value is not None:
            raise fail(f"invalid type: {_kind(value)}, expected unit")
    return family(name)


def family(name: str) -> KeyType:
    if name not in BY_NAME:
        raise unknown_variant(name, tuple(BY_NAME))
    return BY_NAME[name]


def unknown_variant(name: str, known: Sequence[str]) -> MalformedError:
    expected = ", ".join(f"`{each}`" for each in known)
    return fail(f"unknown variant `{printable(name, 60)}`, expected one of {expected}")


def data(item: Item) -> bytes:
    """Bytes, as a byte string or as an array of integers up to 255.

    Any length: that the reference stops at 4096 bytes of a byte string is a limit of its decoder.
    """
    if isinstance(item, bytes):
        return bytes(item)
    if not isinstance(item, list):
        raise fail(f"invalid type: {_kind(item)}, expected bytes")
    return bytes(
        [element if type(element) is int and 0 <= element < 256 else _byte(element) for element in item]
    )


def _byte(item: Item) -> int:
    value = integer(item, "u8")
    if value > 255:
        raise fail(f"invalid value: integer `{value}`, expected u8")
    return value


def integer(item: Item, expected: str = "u64") -> int:
    """An unsigned integer below 2^64, also as a bignum."""
    value = int.from_bytes(item, "big") if isinstance(item, Bignum) else item
    if type(value) is not int:
        raise fail(f"invalid type: {_kind(item)}, expected {expected}")
    if value < 0:
        raise fail(f"invalid value: integer `{value}`, expected {expected}")
    if value >= _U64:
        raise fail("integer too large")
    return value


def text(item: Item) -> str:
    if not isinstance(item, str):
        raise fail(f"invalid type: {_kind(item)}, expected str")
    return item


def optional_text(item: Item) -> str | None:
    return None if item is None else text(item)


def struct(item: Item, name: str, fields: Sequence[str], *, positional: bool = False) -> dict[str, Item]:
    """The known fields of a struct; unknown ones are ignored, a second one of a name is an error.

    With `positional`, an array of exactly the fields in order is the same struct.
    """
    if positional and isinstance(item, list):
        if len(item) != len(fields):
            raise fail(f"invalid length {len(item)}, expected {name} with {len(fields)} elements")
        return dict(zip(fields, item, strict=True))
    if not isinstance(item, Map):
        raise fail(f"invalid type: {_kind(item)}, expected {name}")
    found: dict[str, Item] = {}
    for key, value in item.entries:
        field = name_of(key)
        if field in found:
            raise fail(f"duplicate field `{field}`")
        if field in fields:
            found[field] = value
    return found


def field(found: Mapping[str, Item], name: str) -> Item:
    if name not in found:
        raise fail(f"missing field `{name}`")
    return found[name]


def sized(value: bytes, *lengths: int) -> bytes:
    """The value, when it has one of the lengths in bytes."""
    if len(value) not in lengths:
        sizes = " or ".join(str(length) for length in dict.fromkeys(lengths))
        raise fail(f"invalid length {len(value)}, expected a byte array of size {sizes}")
    return value


def secret(item: Item) -> tuple[KeyType, bytes]:
    """A private key: one entry from family to bytes; ML-DSA as 32-byte seed or in expanded form."""
    name, value = variant(item)
    found = family(name)
    lengths = LENGTHS[found]
    return found, sized(data(value), lengths.secret, *((lengths.expanded,) if lengths.expanded else ()))


def public(item: Item) -> tuple[KeyType, bytes]:
    name, value = variant(item)
    found = family(name)
    return found, sized(data(value), LENGTHS[found].public)


def signature(item: Item) -> tuple[KeyType, bytes]:
    name, value = variant(item)
    found = family(name)
    return found, sized(data(value), LENGTHS[found].signature)


def printable(value: str, limit: int) -> str:
    """Somebody else's text made fit for a log: no control characters, at most `limit` characters."""
    cut = value if len(value) <= limit else f"{value[:limit]}..."
    return "".join(letter if letter.isprintable() else "?" for letter in cut)


_KINDS = {bool: "boolean", int: "integer", str: "string", list: "array", Map: "map", type(None): "null"}


def _kind(item: Item) -> str:
    """The reference's word for what was found; never the value, which may be a secret."""
    return "bytes" if isinstance(item, bytes) else _KINDS.get(type(item), "float")
