"""The texts of accounts. Operations keep the bytes they found: a request that nobody limits needs no text.

An account is one of the 22 bytes that Octez calls a destination, or a public key with its tag, which stands
for the account of its hash. Source: Octez destination_repr.ml, signature_v3.ml, zk_rollup_repr.ml.
"""

import hashlib
from functools import lru_cache

from signatory.tezos import base58
from signatory.tezos.keys import HASH_SIZE, TAGS

SIZE = 22

IMPLICIT = b"\x00"
"""Before a public key hash of 21 bytes."""

SMART_ROLLUP = b"\x03"
"""Before the 20 bytes of a smart rollup; a byte of padding follows."""

ZK_ROLLUP = b"\x04"
"""Before the 20 bytes of a zk rollup; a byte of padding follows."""

_HASHES = {tag: base58.required("hash", key_type).code for key_type, tag in TAGS.items()}
_OTHERS = {
    1: base58.required("contract", None).code,
    SMART_ROLLUP[0]: base58.required("rollup", None).code,
    ZK_ROLLUP[0]: bytes.fromhex("0117e07d"),  # epx1
}


@lru_cache(maxsize=1024)
def text(account: bytes) -> str:
    """`tz1...` to `tz5...`, `KT1...`, `sr1...` or `epx1...`, of bytes that the reader took apart."""
    tag = account[0]
    if len(account) != SIZE:
        return base58.encode(_HASHES[tag], hashlib.blake2b(account[1:], digest_size=HASH_SIZE).digest())
    if tag == IMPLICIT[0]:
        return base58.encode(_HASHES[account[1]], account[2:])
    return base58.encode(_OTHERS[tag], account[1:21])
