"""One of each call and reply of the extended protocol, and its bytes as another encoder writes them."""

from typing import Any

import cbor2

from signatory.crypto.curves import KeyType, Purpose, SigningVersion
from signatory.nitro.checkpoint import Checkpoint
from signatory.nitro.sealed import KeyName, Scheme
from signatory.rpc import extended as ext
from signatory.rpc.values import (
    GetPublicKey,
    Imported,
    Proof,
    ProvePossession,
    Public,
    Sign,
    Signed,
)

ARN = "arn:aws:kms:us-west-2:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
NONCE = bytes(range(16))
DIGEST = b"\xd1" * 32

NAME = KeyName("tz1abc", KeyType.ED25519, Purpose.TEZOS, b"\x0a" * 32, 7, "tenant-1")
NAME_MAP = {
    "key_id": "tz1abc",
    "key_type": "Ed25519",
    "purpose": "tezos",
    "public_key": b"\x0a" * 32,
    "version": 7,
    "user_id": "tenant-1",
}
UNKNOWN_PUBLIC = KeyName("tz2abc", KeyType.SECP256K1, Purpose.TEZOS, b"")
UNKNOWN_PUBLIC_MAP = {
    "key_id": "tz2abc",
    "key_type": "Secp256k1",
    "purpose": "tezos",
    "public_key": b"",
    "version": 1,
    "user_id": None,
}

CALLS: list[tuple[ext.Call, dict[str, Any]]] = [
    (ext.Attest(NONCE), {"Attest": {"nonce": NONCE}}),
    (ext.RenewCredentials(b"sealed"), {"RenewCredentials": {"sealed": b"sealed"}}),
    (
        ext.GenerateAttested(KeyType.MLDSA65, Purpose.RAW, Scheme.KMS_GDK),
        {
            "GenerateAttested": {
                "key_type": "MlDsa65",
                "purpose": "raw",
                "scheme": "kms-gdk-v1",
                "user_id": None,
                "nonce": None,
            }
        },
    ),
    (
        ext.GenerateAttested(KeyType.P256, Purpose.TEZOS, Scheme.KMS_ENVELOPE, "tenant-1", NONCE),
        {
            "GenerateAttested": {
                "key_type": "NistP256",
                "purpose": "tezos",
                "scheme": "kms-envelope-v1",
                "user_id": "tenant-1",
                "nonce": NONCE,
            }
        },
    ),
    (
        ext.ImportSealed(b"sealed", Purpose.CHECKPOINT, Scheme.KMS_ENCRYPT),
        {
            "ImportSealed": {
                "sealed": b"sealed",
                "purpose": "checkpoint",
                "scheme": "kms-encrypt-v0",
                "user_id": None,
                "nonce": None,
            }
        },
    ),
    (
        ext.LoadSealed(NAME, Scheme.KMS_GDK, b"blob"),
        {"LoadSealed": {"name": NAME_MAP, "scheme": "kms-gdk-v1", "blob": b"blob"}},
    ),
    (
        ext.LoadSealed(UNKNOWN_PUBLIC, Scheme.KMS_ENCRYPT, b"blob"),
        {"LoadSealed": {"name": UNKNOWN_PUBLIC_MAP, "scheme": "kms-encrypt-v0", "blob": b"blob"}},
    ),
    (
        Sign(2**32 - 1, b"\x03text", SigningVersion.V2),
        {"Sign": {"handle": 2**32 - 1, "message": b"\x03text", "version": 2}},
    ),
    (Sign(0, b""), {"Sign": {"handle": 0, "message": b"", "version": 255}}),
    (GetPublicKey(1), {"PublicKey": {"handle": 1}}),
    (ProvePossession(2), {"ProvePossession": {"handle": 2}}),
    (
        ext.ProvePossessionOf(3, b"\xbb" * 48),
        {"ProvePossessionOf": {"handle": 3, "public_key": b"\xbb" * 48}},
    ),
    (
        ext.SignCheckpoint(4, Checkpoint(2**63 - 1, DIGEST)),
        {"Checkpoint": {"handle": 4, "sequence": 2**63 - 1, "digest": DIGEST}},
    ),
    (ext.Status(), {"Status": {}}),
    (ext.Cancel(0), {"Cancel": {"id": 0}}),
]

ANSWERS: list[tuple[ext.Call, ext.Answer, Any]] = [
    (ext.Attest(NONCE), ext.Attested(b"document"), {"document": b"document"}),
    (ext.RenewCredentials(b""), None, None),
    (
        ext.GenerateAttested(KeyType.ED25519, Purpose.TEZOS, Scheme.KMS_GDK),
        ext.Born(NAME, ARN, b"blob", 5, b"statement", b"attestation"),
        {
            "name": NAME_MAP,
            "kms_key_arn": ARN,
            "blob": b"blob",
            "handle": 5,
            "statement": b"statement",
            "attestation": b"attestation",
        },
    ),
    (
        ext.LoadSealed(NAME, Scheme.KMS_GDK, b"blob"),
        Imported(KeyType.MLDSA44, b"\x0c" * 1312, 6),
        {"public_key": {"MlDsa44": b"\x0c" * 1312}, "handle": 6},
    ),
    (Sign(0, b""), Signed(KeyType.BLS, b"\x0d" * 96), {"Bls": b"\x0d" * 96}),
    (GetPublicKey(0), Public(KeyType.SECP256K1, b"\x02" * 33), {"Secp256k1": b"\x02" * 33}),
    (ProvePossession(0), Proof(b"\x0e" * 96), {"Bls": b"\x0e" * 96}),
    (ext.ProvePossessionOf(0, bytes(48)), Proof(b"\x0f" * 96), {"Bls": b"\x0f" * 96}),
    (
        ext.SignCheckpoint(0, Checkpoint(0, DIGEST)),
        Signed(KeyType.ED25519, b"\x1d" * 64),
        {"Ed25519": b"\x1d" * 64},
    ),
    (
        ext.Status(),
        ext.EnclaveStatus("1.0.0", 60, 2, 10_000, 3),
        {"release": "1.0.0", "uptime": 60, "sessions": 2, "keys": 10_000, "kms_calls": 3},
    ),
]


def call_named(name: str) -> dict[str, Any]:
    """The fields of the first sample of that name, to be changed by a test."""
    value = next(found[name] for _, found in CALLS if name in found)
    changed: dict[str, Any] = cbor2.loads(cbor2.dumps(value))
    return changed


def envelope(call: Any, identifier: Any = 1, within: Any = None) -> bytes:
    return cbor2.dumps({"id": identifier, "within": within, "call": call})


def name_of(sample: tuple[Any, ...]) -> str:
    """For the ids of parametrised tests."""
    return type(sample[0]).__name__
