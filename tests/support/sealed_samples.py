"""Sealed keys for the tests of the stores: every scheme, with and without tenants and births.

What is sealed does not matter to a store: the secrets here are zeros.
"""

import hashlib
import os

from signatory.crypto.curves import LENGTHS, KeyType, Purpose, default_purpose
from signatory.nitro import birth, sealed
from signatory.nitro.arn import Arn
from signatory.nitro.sealed import KeyName, Scheme
from signatory.tezos.keys import PublicKey
from signatory.vault import KeyBirth
from vaults.nitro.storage.record import SealedKey

ARN = Arn.parse("arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
ATTESTATION = 4600
"""Bytes of a genuine document."""


def public(family: KeyType, seed: int) -> PublicKey:
    """Of the right length; a store does not ask whether it is a point."""
    return PublicKey(family, hashlib.shake_256(f"{family} {seed}".encode()).digest(LENGTHS[family].public))


def reference(
    seed: int = 1, family: KeyType = KeyType.ED25519, *, blob: bytes = b"", born: bool = False
) -> SealedKey:
    """As Signatory's file and table hold it."""
    key = public(family, seed)
    blob = blob or os.urandom(180)
    made = birth_of(key, blob, Scheme.KMS_ENCRYPT) if born else None
    return SealedKey(key.id, family, default_purpose(family), blob, birth=made)


def plain(seed: int = 1, family: KeyType = KeyType.MLDSA44) -> SealedKey:
    """`kms-encrypt-v0`, of a family that Signatory does not read."""
    key = public(family, seed)
    return SealedKey(key.id, family, default_purpose(family), os.urandom(180), key, str(ARN))


def record(
    seed: int = 1,
    family: KeyType = KeyType.ED25519,
    *,
    scheme: Scheme = Scheme.KMS_ENVELOPE,
    purpose: Purpose | None = None,
    user_id: str | None = None,
    version: int = 1,
    born: bool = True,
    secret: int = 32,
) -> SealedKey:
    """A sealed record of `secret` bytes, with its birth unless told otherwise."""
    key = public(family, seed)
    name = KeyName(key.id, family, purpose or default_purpose(family), key.data, version, user_id)
    data_key_id = key.id if scheme is Scheme.KMS_GDK else "envelope:" + "0" * 32
    made = sealed.close(
        scheme,
        name,
        ARN,
        data_key_id,
        bytes(184),
        data_key=bytes(32),
        nonce=os.urandom(12),
        secret=bytes(secret),
    )
    blob = sealed.encode(made)
    return SealedKey(
        key.id,
        family,
        name.purpose,
        blob,
        key,
        str(ARN),
        scheme,
        version,
        user_id,
        birth_of(key, blob, scheme, name) if born else None,
    )


def birth_of(key: PublicKey, blob: bytes, scheme: Scheme, name: KeyName | None = None) -> KeyBirth:
    """A statement that reads, under a document that nobody checks here."""
    statement = birth.Statement(
        key.type,
        key.data,
        blob,
        ARN,
        1_767_225_600_000,
        scheme,
        birth.Origin.GENERATED,
        name.purpose if name else default_purpose(key.type),
        name.user_id if name else None,
        version=name.version if name else 1,
    )
    return KeyBirth(birth.encode(statement), os.urandom(ATTESTATION))


EVERY = {
    "a key of Signatory's": reference(),
    "a key of Signatory's with a birth": reference(2, KeyType.BLS, born=True),
    "a key of the reference's scheme that Signatory does not read": plain(3),
    "a key of its own data key": record(4, KeyType.P256, scheme=Scheme.KMS_GDK),
    "a key under an envelope": record(5, KeyType.BLS),
    "a tenant's key": record(6, KeyType.SECP256K1, scheme=Scheme.KMS_GDK, user_id="tenant:7/a@b"),
    "a raw key of a Tezos family": record(7, purpose=Purpose.RAW),
    "a checkpoint key": record(8, purpose=Purpose.CHECKPOINT),
    "a key sealed for the third time, without a birth": record(9, version=3, born=False),
    "an expanded ML-DSA-87 key": record(10, KeyType.MLDSA87, secret=4896),
    "an ML-DSA-65 key": record(11, KeyType.MLDSA65, scheme=Scheme.KMS_GDK),
}
