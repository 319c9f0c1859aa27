"""The bytes that a client signs name the key that it wants used."""

import pytest

from signatory.crypto.curves import KeyType
from signatory.tezos.auth import client_bytes
from signatory.tezos.keys import PublicKeyHash

TYPES = [KeyType.ED25519, KeyType.SECP256K1, KeyType.P256, KeyType.BLS, KeyType.MLDSA44]


@pytest.mark.parametrize(("tag", "key_type"), [*enumerate(TYPES)])
def test_the_tag_and_the_hash_of_the_key_come_before_the_message(tag: int, key_type: KeyType) -> None:
    found = client_bytes(PublicKeyHash(key_type, b"\xaa" * 20), b"\x03message")
    assert found == bytes([4, 1, tag]) + b"\xaa" * 20 + b"\x03message"


def test_a_proof_of_possession_is_asked_for_with_an_empty_message() -> None:
    assert client_bytes(PublicKeyHash(KeyType.BLS, bytes(20)), b"") == b"\x04\x01\x03" + bytes(20)


def test_the_hash_of_an_address_is_the_one_in_its_text() -> None:
    # tz1RKGhRF4TZNCXEfwyqZshGsVfrZeVU446B, decoded with another Base58 implementation.
    pkh = PublicKeyHash.parse("tz1RKGhRF4TZNCXEfwyqZshGsVfrZeVU446B")
    assert client_bytes(pkh, b"") == bytes.fromhex("0401003e448ad7954e0e6ec4894be256fbf00815b4e4d6")
