"""Base58Check with the prefixes of Tezos: text <-> (what it is, payload). Source: Octez, base58.ml.

Written for both ends of the range: a 36-character address on the hot path and a 5,300-character ML-DSA key,
for which the schoolbook loop would take milliseconds.
"""

import hashlib
from dataclasses import dataclass
from functools import cache

from signatory.crypto.curves import KeyType
from signatory.errors import MalformedError

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

MAX_TEXT = 5332
"""Characters of the longest text in the table, an encrypted ML-DSA-44 key; longer ones are refused unread."""


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """One row of the table. `size` is the payload's, in bytes; `type` is None where no family is named."""

    name: str
    code: bytes
    size: int
    kind: str
    type: KeyType | None = None


def _row(name: str, code: str, size: int, kind: str, key_type: KeyType | None = None) -> Prefix:
    return Prefix(name, bytes.fromhex(code), size, kind, key_type)


PREFIXES = (
    _row("tz1", "06a19f", 20, "hash", KeyType.ED25519),
    _row("tz2", "06a1a1", 20, "hash", KeyType.SECP256K1),
    _row("tz3", "06a1a4", 20, "hash", KeyType.P256),
    _row("tz4", "06a1a6", 20, "hash", KeyType.BLS),
    _row("tz5", "06a1a9", 20, "hash", KeyType.MLDSA44),
    _row("KT1", "025a79", 20, "contract"),
    _row("sr1", "067c75", 20, "rollup"),
    _row("edpk", "0d0f25d9", 32, "public key", KeyType.ED25519),
    _row("sppk", "03fee256", 33, "public key", KeyType.SECP256K1),
    _row("p2pk", "03b28b7f", 33, "public key", KeyType.P256),
    _row("BLpk", "069587cc", 48, "public key", KeyType.BLS),
    _row("mdpk", "0d07ed43", 1312, "public key", KeyType.MLDSA44),
    _row("edsk", "0d0f3a07", 32, "secret key", KeyType.ED25519),
    _row("spsk", "11a2e0c9", 32, "secret key", KeyType.SECP256K1),
    _row("p2sk", "1051eebd", 32, "secret key", KeyType.P256),
    _row("BLsk", "0396c028", 32, "secret key", KeyType.BLS),
    _row("mdsk", "09397439", 3872, "secret key and public key", KeyType.MLDSA44),
    _row("edsk", "2bf64e07", 64, "secret key and public key", KeyType.ED25519),
    _row("edesk", "075a3cb329", 56, "encrypted secret key", KeyType.ED25519),
    _row("spesk", "09edf1ae96", 56, "encrypted secret key", KeyType.SECP256K1),
    _row("p2esk", "09303973ab", 56, "encrypted secret key", KeyType.P256),
    _row("BLesk", "02051e3519", 56, "encrypted secret key", KeyType.BLS),
    _row("mdesk", "05318527ac", 3896, "encrypted secret key", KeyType.MLDSA44),
    _row("edsig", "09f5cd8612", 64, "signature", KeyType.ED25519),
    _row("spsig1", "0d7365133f", 64, "signature", KeyType.SECP256K1),
    _row("p2sig", "36f02c34", 64, "signature", KeyType.P256),
    _row("BLsig", "28ab40cf", 96, "signature", KeyType.BLS),
    _row("mdsig", "019c2dd203", 2420, "signature", KeyType.MLDSA44),
    _row("sig", "04822b", 64, "signature"),
    _row("Net", "575200", 4, "chain id"),
    _row("vh", "016af2", 32, "payload hash"),
)

_BY_LENGTH: dict[int, tuple[Prefix, ...]] = {
    length: tuple(row for row in PREFIXES if len(row.code) + row.size == length)
    for length in {len(row.code) + row.size for row in PREFIXES}
}
_BY_KIND = {(row.kind, row.type): row for row in PREFIXES}

# Digits are handled two at a time: 58 * 58 pairs, and the value of each.
_PAIRS = tuple(high + low for high in ALPHABET for low in ALPHABET)
_PAIR_VALUES = {pair: value for value, pair in enumerate(_PAIRS)}
_BASE = 58 * 58
_LEAF = 26  # pairs that are worked off one by one; longer numbers are halved first


def required(kind: str, key_type: KeyType | None) -> Prefix:
    """The row for this kind of value of this family. Raises MalformedError where Tezos has no such text."""
    row = _BY_KIND.get((kind, key_type))
    if row is None:
        family = key_type.value if key_type else "unnamed"
        raise MalformedError(f"Tezos has no text form for a {kind} of the family {family}")
    return row


def encode(prefix: bytes, payload: bytes) -> str:
    """The Base58Check text of prefix and payload."""
    body = prefix + payload
    body += hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4]
    zeros = len(body) - len(body.lstrip(b"\0"))
    # 1.3658 digits a byte, rounded up: room for every digit, surplus ones are leading zeros and fall away.
    pairs = (len(body) * 13659 // 10000 + 3) // 2
    return "1" * zeros + _digits(int.from_bytes(body, "big"), pairs).lstrip("1")


def decode(text: str) -> tuple[Prefix, bytes]:
    """The row of the table and the payload. Raises MalformedError that says which part is wrong.

    The text itself is never part of the message: it may be a secret.
    """
    if not text:
        raise MalformedError("the Base58 text is empty")
    if len(text) > MAX_TEXT:
        raise MalformedError(f"the Base58 text is {len(text)} characters long; no Tezos value is")
    body = _unchecked(text)
    if len(body) < 4 or hashlib.sha256(hashlib.sha256(body[:-4]).digest()).digest()[:4] != body[-4:]:
        raise MalformedError("the Base58 text has a wrong checksum", hint="copy it again, whole")
    length = len(body) - 4
    for row in _BY_LENGTH.get(length, ()):
        if body.startswith(row.code):
            return row, body[len(row.code) : length]
    for row in PREFIXES:
        if body.startswith(row.code):
            what = f"{row.type.value} {row.kind}" if row.type else row.kind
            found = length - len(row.code)
            raise MalformedError(f"wrong length of {row.name} ({what}): {found} bytes, not {row.size}")
    raise MalformedError("the Base58 text has a valid checksum but no known prefix of Tezos for its length")


def _unchecked(text: str) -> bytes:
    padded = "1" + text if len(text) % 2 else text
    try:
        values = [_PAIR_VALUES[padded[index : index + 2]] for index in range(0, len(padded), 2)]
    except KeyError:
        raise MalformedError("the Base58 text holds a character outside its alphabet") from None
    number = _number(values)
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _digits(number: int, pairs: int) -> str:
    if pairs > _LEAF:
        low = pairs // 2
        upper, lower = divmod(number, _power(low))
        return _digits(upper, pairs - low) + _digits(lower, low)
    out = []
    for _ in range(pairs):
        number, pair = divmod(number, _BASE)
        out.append(_PAIRS[pair])
    return "".join(reversed(out))


def _number(values: list[int]) -> int:
    if len(values) > _LEAF:
        low = len(values) // 2
        return _number(values[:-low]) * _power(low) + _number(values[-low:])
    number = 0
    for value in values:
        number = number * _BASE + value
    return number


@cache
def _power(pairs: int) -> int:
    # Not more than MAX_TEXT different arguments, a few hundred in practice: lengths are fixed by the table.
    return int(_BASE**pairs)
