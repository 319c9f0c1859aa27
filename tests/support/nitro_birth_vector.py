"""Vectors of birth statements, made by a CBOR encoder of twenty lines that knows nothing of the product.

As a program it prints them as JSON; nitro_birth_vector.json beside it is what it printed.
The first is the reference's (enclave-kms-attestation §10.2), there to prove the encoder; the others are ours.
"""

import hashlib
import json
import sys

ARN = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ED25519 = bytes.fromhex("d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737")


def head(major: int, value: int) -> bytes:
    """RFC 8949 §3 and §4.2.1: the shortest of the five forms."""
    for information, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 24:
            return bytes([major << 5 | value])
        if value < 1 << (8 * size):
            return bytes([major << 5 | information]) + value.to_bytes(size, "big")
    raise ValueError(value)


def item(value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    text = value.encode()
    return head(3, len(text)) + text


def mapping(entries: dict[int, int | bytes | str]) -> bytes:
    """Keys in the order of their encodings."""
    pairs = sorted((item(key), item(value)) for key, value in entries.items())
    return head(5, len(pairs)) + b"".join(key + value for key, value in pairs)


REFERENCE: dict[int, int | bytes | str] = {
    1: "teesign/birth/v1",
    2: "Ed25519",
    3: ED25519,
    4: bytes.fromhex("0102030405"),
    5: "user-0001",
    6: ARN,
    7: 1770366258452,
    8: "kms-encrypt-v0",
    9: "generated",
}

GENERATED: dict[int, int | bytes | str] = {
    **REFERENCE,
    1: "signatory-vault/birth/v1",
    8: "kms-gdk-v1",
    11: "1.2.3+a1b2c3",
    12: "tezos",
    13: 1,
}

IMPORTED: dict[int, int | bytes | str] = {
    1: "signatory-vault/birth/v1",
    2: "Ed25519",
    3: ED25519,
    4: bytes(range(256)) * 2,
    6: ARN,
    7: 1770366258452,
    8: "kms-envelope-v1",
    9: "imported",
    10: hashlib.sha256(mapping(GENERATED)).digest(),
    12: "raw",
    13: 70000,
}


def main() -> None:
    named = {"reference": REFERENCE, "generated": GENERATED, "imported": IMPORTED}
    vectors = {
        name: {"statement": data.hex(), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in ((name, mapping(entries)) for name, entries in named.items())
    }
    sys.stdout.write(json.dumps(vectors, indent=2) + "\n")


if __name__ == "__main__":
    main()
