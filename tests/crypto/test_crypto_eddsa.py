"""Ed25519 against the reference sheet, the cryptography package and wycheproof."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis.strategies import binary

from signatory.crypto.curves import KeyType, Purpose, SigningVersion
from signatory.crypto.keypair import Verifier, check_public, from_secret
from signatory.errors import MalformedError

ED = KeyType.ED25519
SEED = b"\x11" * 32
PUBLIC = "d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737"
SIGNATURE = (
    "b35697c14f54d4828d8c6acd533d94bbc821af776a7f755064cfc6a87ec1b99c"
    "1e4878f741fbfd1ce44d187fb94d2cb2ccc202b1a6737c4ebc1821900fa4770e"
)
ORDER = 2**252 + 27742317777372353535851937790883648493


def test_the_seed_of_the_reference_sheet_gives_its_public_key_and_signature_in_every_version() -> None:
    pair = from_secret(ED, SEED)
    assert pair.public.hex() == PUBLIC
    assert {pair.sign(b"text", version).hex() for version in SigningVersion} == {SIGNATURE}


@settings(deadline=None)
@given(seed=binary(min_size=32, max_size=32), message=binary(max_size=99))
def test_both_purposes_sign_as_the_cryptography_package_does(seed: bytes, message: bytes) -> None:
    other = Ed25519PrivateKey.from_private_bytes(seed)
    digest = hashlib.blake2b(message, digest_size=32).digest()
    assert from_secret(ED, seed, purpose=Purpose.RAW).sign(message) == other.sign(message)
    assert from_secret(ED, seed, purpose=Purpose.TEZOS).sign(message) == other.sign(digest)


def test_a_raw_signature_over_a_digest_is_not_a_tezos_signature_of_the_raw_key() -> None:
    digest = hashlib.blake2b(b"text", digest_size=32).digest()
    raw = from_secret(ED, SEED, purpose=Purpose.RAW)
    signature = raw.sign(digest)
    assert not Verifier(ED, raw.public, Purpose.RAW).verify(b"text", signature)
    assert Verifier(ED, raw.public, Purpose.TEZOS).verify(b"text", signature)


def test_a_signature_with_s_past_the_order_is_refused() -> None:
    signature = bytes.fromhex(SIGNATURE)
    large = int.from_bytes(signature[32:], "little") + ORDER
    forged = signature[:32] + large.to_bytes(32, "little")
    verifier = Verifier(ED, bytes.fromhex(PUBLIC), Purpose.TEZOS)
    assert verifier.verify(b"text", signature)
    assert not verifier.verify(b"text", forged)


@pytest.mark.parametrize(
    ("public", "words"),
    [
        (b"\x01" + bytes(31), "the Ed25519 public key is not a point of the prime-order group"),
        (bytes(32), "the Ed25519 public key is not a point of the prime-order group"),
        (b"\xff" * 32, "the Ed25519 public key is not a point of the prime-order group"),
        (bytes.fromhex(PUBLIC)[:31], "an Ed25519 public key is 32 bytes long, not 31"),
        (b"", "an Ed25519 public key is 32 bytes long, not 0"),
    ],
    ids=["identity", "small order", "not canonical", "short", "empty"],
)
def test_what_is_not_a_public_key_is_refused_by_name(public: bytes, words: str) -> None:
    with pytest.raises(MalformedError) as caught:
        check_public(ED, public)
    assert str(caught.value) == words


@settings(deadline=None)
@given(signature=binary(max_size=70), message=binary(max_size=9))
def test_no_signature_bytes_make_the_verifier_raise(signature: bytes, message: bytes) -> None:
    assert not Verifier(ED, bytes.fromhex(PUBLIC), Purpose.TEZOS).verify(message, signature)


def test_wycheproof_agrees(wycheproof: Callable[[str], Any]) -> None:
    wrong = []
    for group, row in wycheproof("ed25519"):
        verifier = Verifier(ED, bytes.fromhex(group["publicKey"]["pk"]), Purpose.RAW)
        valid = verifier.verify(bytes.fromhex(row["msg"]), bytes.fromhex(row["sig"]))
        if valid != (row["result"] == "valid"):
            wrong.append(row["tcId"])
    assert wrong == []


def test_the_public_key_of_a_tezos_signature_verifies_it_elsewhere() -> None:
    pair = from_secret(ED, SEED)
    digest = hashlib.blake2b(b"text", digest_size=32).digest()
    Ed25519PublicKey.from_public_bytes(pair.public).verify(pair.sign(b"text"), digest)
