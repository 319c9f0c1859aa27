"""Operations as values and as bytes, put together by hand; nothing of ours makes them."""

from dataclasses import dataclass
from typing import Any

import base58

from signatory.policy.values import KeyLimits, KeyPolicy
from signatory.tezos.requests import SignRequest

KEY = "tz1RKGhRF4TZNCXEfwyqZshGsVfrZeVU446B"
CLIENT = "tz1aSkwEot3L2kmUvcoxzjMomb9mvBNuzFK6"
MAINNET = "NetXdQprcVkpaWU"

BRANCH = b"\xb1" * 32
TZ1 = b"\x00" + b"\xa1" * 20
TZ2 = b"\x01" + b"\xa2" * 20
KT1 = b"\x01" + b"\xc1" * 20 + b"\x00"
TZ1_TEXT = base58.b58encode_check(bytes.fromhex("06a19f") + b"\xa1" * 20).decode()
TZ2_TEXT = base58.b58encode_check(bytes.fromhex("06a1a1") + b"\xa2" * 20).decode()
KT1_TEXT = base58.b58encode_check(bytes.fromhex("025a79") + b"\xc1" * 20).decode()


@dataclass(frozen=True)
class Operation:
    """What rules see of an operation that was read."""

    kind: str = "transaction"
    source: str | None = TZ1_TEXT
    fee: int | None = None
    amount: int | None = None
    amount_unknown: bool = False
    destinations: tuple[str, ...] = ()


def batch(*operations: Operation) -> SignRequest:
    """A generic request with these operations, read."""
    kinds = tuple(operation.kind for operation in operations)
    return SignRequest("generic", kinds, contents=operations)


def limited(**limits: Any) -> KeyPolicy:
    """A key that may sign whatever these limits let pass."""
    kinds = frozenset({"transaction", "reveal", "drain_delegate", "origination", "delegation", "stake"})
    requests = frozenset({"generic", "block", "pack"})
    return KeyPolicy(requests=requests, operations=kinds, limits=KeyLimits(**limits))


def natural(number: int) -> bytes:
    """Seven bits a byte, lowest first, the top bit on every byte but the last."""
    out = []
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def manager(fee: int, source: bytes = TZ1) -> bytes:
    """Source, fee, counter, gas limit, storage limit."""
    return source + natural(fee) + natural(300) + natural(2000) + natural(0)


def transaction(amount: int = 1_000_000, fee: int = 400, to: bytes = KT1) -> bytes:
    """Without entrypoint and argument."""
    return b"\x6c" + manager(fee) + natural(amount) + to + b"\x00"


def delegation(fee: int = 500, to: bytes = TZ2) -> bytes:
    """A right given to another account."""
    return b"\x6e" + manager(fee) + b"\xff" + to


def origination(balance: int, fee: int = 600) -> bytes:
    """A contract with a delegate; its code and its storage are the primitive Unit."""
    unit = b"\x00\x00\x00\x02\x03\x0b"
    return b"\x6d" + manager(fee) + natural(balance) + b"\xff" + TZ2 + unit + unit


DRAIN = b"\x09" + TZ1 + TZ1 + TZ2
"""Consensus key, delegate, destination; how much is drained the bytes do not say."""


def generic(*operations: bytes) -> bytes:
    """The request as it is sent to be signed."""
    return b"\x03" + BRANCH + b"".join(operations)


def block(level: int, round_: int = 0) -> bytes:
    """A block of the main chain."""
    places = (b"\x02", level.to_bytes(4, "big"), b"", b"\xff" * 4, round_.to_bytes(4, "big"))
    fitness = b"".join(len(part).to_bytes(4, "big") + part for part in places)
    shell = level.to_bytes(4, "big") + b"\x18" + b"\x32" * 32 + (1_700_000_000).to_bytes(8, "big")
    shell += b"\x04" + b"\x32" * 32 + len(fitness).to_bytes(4, "big") + fitness + b"\x32" * 32
    return b"\x11" + bytes.fromhex("7a06a770") + shell + b"\x32" * 32 + bytes(4) + b"\x77" * 8 + b"\x00\x00"
