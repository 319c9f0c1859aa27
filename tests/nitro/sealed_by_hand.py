"""Sealed records a second time: cbor2 on a dict, HKDF from HMAC, AES-GCM of pycryptodome."""

import hmac
from typing import Any

import cbor2
from Crypto.Cipher import AES

ARN = "arn:aws:kms:us-west-2:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
TYPE = "signatory-vault/sealed/v1"
PUBLIC, NONCE, DATA_KEY = b"\x0a" * 32, bytes(range(12)), b"\x0d" * 32
KEY_ID = "tz1VSUr8wwNhLAzempoch5d6hLRiTh8Cjcjb"
SECRET = b"\x11" * 32

HEADER: dict[int, Any] = {
    1: TYPE,
    2: "kms-gdk-v1",
    3: 1,
    4: "Ed25519",
    5: "tezos",
    6: PUBLIC,
    7: KEY_ID,
    9: ARN,
    10: KEY_ID,
    11: b"wrapped data key",
    12: NONCE,
}
"""Of a key without a tenant; one with a tenant has a field 8."""

TENANT = dict(sorted({**HEADER, 8: "tenant-1"}.items()))
ENVELOPE = {**HEADER, 2: "kms-envelope-v1", 10: "envelope:" + "0123456789abcdef" * 2}


def derived(data_key: bytes, header: dict[int, Any]) -> tuple[bytes, bytes]:
    """RFC 5869 with no salt and two blocks: the key and the commitment."""
    info = TYPE.encode() + b"\0" + cbor2.dumps(header)
    prk = hmac.digest(bytes(32), data_key, "sha256")
    first = hmac.digest(prk, info + b"\x01", "sha256")
    return first, hmac.digest(prk, first + info + b"\x02", "sha256")


def sealed(header: dict[int, Any], data_key: bytes = DATA_KEY, secret: bytes = SECRET) -> dict[int, Any]:
    """All fields of the record."""
    key, commitment = derived(data_key, header)
    cipher = AES.new(key, AES.MODE_GCM, nonce=header[12]).update(cbor2.dumps(header))
    ciphertext, tag = cipher.encrypt_and_digest(secret)
    return {**header, 13: commitment, 14: ciphertext + tag}


def opened(record: bytes, data_key: bytes = DATA_KEY) -> bytes:
    """The secret in a record's bytes. Raises ValueError, AssertionError."""
    found = cbor2.loads(record)
    assert cbor2.dumps(dict(sorted(found.items()))) == record
    commitment, ciphertext = found.pop(13), found.pop(14)
    key, committed = derived(data_key, found)
    assert commitment == committed
    cipher = AES.new(key, AES.MODE_GCM, nonce=found[12]).update(cbor2.dumps(found))
    return cipher.decrypt_and_verify(ciphertext[:-16], ciphertext[-16:])
