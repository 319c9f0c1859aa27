"""Keys, addresses and signatures of Octez, Taquito and goblst, where they lie beside the checkout."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from signatory.crypto import bls
from signatory.crypto.curves import KeyType, Purpose, SigningVersion
from signatory.crypto.keypair import Verifier, from_secret, verify_possession
from signatory.tezos import secrets
from signatory.tezos.keys import PublicKey, PublicKeyHash, Signature

VECTORS = Path(__file__).parents[2] / "../shared/vectors/tezos_crypto.json"
TYPES = {
    "ed25519": KeyType.ED25519,
    "secp256k1": KeyType.SECP256K1,
    "p256": KeyType.P256,
    "bls12_381": KeyType.BLS,
}

Row = dict[str, Any]


@pytest.fixture(scope="module")
def vectors() -> dict[str, list[Row]]:
    if not VECTORS.exists():
        pytest.skip("the third-party vectors are not beside the checkout (../shared/vectors)")
    found: dict[str, list[Row]] = json.loads(VECTORS.read_text("utf-8"))
    return found


def test_every_secret_key_gives_its_public_key_and_address(vectors: dict[str, list[Row]]) -> None:
    assert len(vectors["keys"]) == 400
    for row in vectors["keys"]:
        pair = secrets.parse(row["sk"])
        public = PublicKey(pair.type, pair.public)
        assert (pair.type, public.text, public.id) == (TYPES[row["curve"]], row["pk"], row["pkh"])
        assert secrets.text(pair) == row["sk"]
        assert PublicKey.parse(row["pk"]) == public


def test_every_address_holds_its_hash(vectors: dict[str, list[Row]]) -> None:
    assert len(vectors["pkhs"]) == 400
    for row in vectors["pkhs"]:
        value = PublicKeyHash(TYPES[row["curve"]], bytes.fromhex(row["hash"]))
        assert value.text == row["pkh"]
        assert PublicKeyHash.parse(row["pkh"]) == value


def test_every_signature_verifies_and_deterministic_ones_are_made_again(
    vectors: dict[str, list[Row]],
) -> None:
    for row in vectors["signatures"]:
        pair = secrets.parse(row["sk"])
        public = PublicKey(pair.type, pair.public)
        assert (public.text, public.id) == (row["pk"], row["pkh"])
        if row["sig"] is None:
            continue
        signature = Signature.parse(row["sig"])
        if row["scheme"] == "bls-proof":
            assert pair.prove() == signature.data
            assert verify_possession(pair.public, signature.data)
            continue
        message = bytes.fromhex(row["message"])
        assert Verifier(pair.type, pair.public, Purpose.TEZOS).verify(message, signature.data)
        if pair.type is not KeyType.P256:  # its reference folds S, which the enclave protocol does not
            assert pair.sign(message) == signature.data


def test_signatures_are_judged_as_the_vectors_say(vectors: dict[str, list[Row]]) -> None:
    assert len(vectors["verify"]) == 18
    for row in vectors["verify"]:
        public, signature = PublicKey.parse(row["pk"]), Signature.parse(row["sig"])
        verifier = Verifier(public.type, public.data, Purpose.TEZOS)
        assert verifier.verify(bytes.fromhex(row["message"]), signature.data) is row["valid"]


def old_derivation(material: bytes) -> int:
    """KeyGen before draft 4: the salt is not hashed."""
    key = hmac.digest(b"BLS-SIG-KEYGEN-SALT-", material + b"\0", "sha256")
    first = hmac.digest(key, b"\0\x30\1", "sha256")
    second = hmac.digest(key, first + b"\0\x30\2", "sha256")
    return int.from_bytes((first + second)[:48], "big") % bls.ORDER


def check_augmented(rows: list[Row]) -> None:
    for row in rows:
        material, message = bytes.fromhex(row["ikm"]), bytes.fromhex(row["message"])
        if row["file"].endswith("_blst"):
            secret = bls.derive(material)
        else:
            secret = old_derivation(material).to_bytes(32, "big")
        pair = from_secret(KeyType.BLS, secret)
        assert pair.sign(message, SigningVersion.V1).hex() == row["sig"], row["file"]
        assert (
            hashlib.blake2b(pair.public, digest_size=20).digest() == PublicKey(pair.type, pair.public).digest
        )


def usable(vectors: dict[str, list[Row]]) -> list[Row]:
    """Material below 32 bytes is no key to any of the implementations."""
    return [row for row in vectors["bls_aug"] if len(row["ikm"]) >= 64]


def test_all_augmented_signatures_are_made_again(vectors: dict[str, list[Row]]) -> None:
    assert len(usable(vectors)) > 800
    check_augmented(usable(vectors))
