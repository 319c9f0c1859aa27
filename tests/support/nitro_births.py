"""A key, its birth certificate, and what is stored of it, for the tests of the verifier."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import nitro_birth_vector as by_hand
from nitro_chain import NOW, PCRS, signed

from signatory.crypto.curves import KeyType, Purpose
from signatory.nitro import birth
from signatory.nitro.arn import Arn
from signatory.nitro.birth import Origin, Statement
from signatory.nitro.sealed import Scheme

NOW_MS = int(NOW.timestamp() * 1000)
SIGNED = {**PCRS, 8: b"\x18" * 48}
MANIFEST = {
    "Measurements": {f"PCR{index}": SIGNED[index].hex() for index in (0, 1, 2, 8)},
    "version": "1.2.3",
}

STATEMENT = Statement(
    key_type=KeyType.ED25519,
    public=by_hand.ED25519,
    wrapped=b"\xfbwrapped key\xff",
    kms_key=Arn.parse(by_hand.ARN),
    created_at=NOW_MS - 1000,
    wrap=Scheme.KMS_GDK,
    origin=Origin.GENERATED,
    purpose=Purpose.TEZOS,
    user_id="user-0001",
    prev=bytes(range(32)),
    release="1.2.3",
    version=2,
)


@dataclass(frozen=True)
class Certificate:
    """What an enclave hands out at a birth."""

    statement: bytes
    attestation: bytes


def certified(statement: Statement = STATEMENT, **changes: Any) -> Certificate:
    """A birth certificate; `changes` are of the document, such as another timestamp or other registers."""
    data = birth.encode(statement)
    document = {"user_data": hashlib.sha256(data).digest(), "public_key": None, "pcrs": SIGNED, **changes}
    return Certificate(data, signed(**document))


def changed(**changes: Any) -> Statement:
    return replace(STATEMENT, **changes)
