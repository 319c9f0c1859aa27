"""secp256k1 and P-256 against the reference sheet, RFC 6979, the cryptography package and wycheproof."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis.strategies import binary, integers, sampled_from

from signatory.crypto.curves import KeyType, Purpose, SigningVersion
from signatory.crypto.keypair import Verifier, check_public, from_secret
from signatory.errors import MalformedError

K1, P256 = KeyType.SECP256K1, KeyType.P256
# SEC 2 and FIPS 186-4
ORDERS = {
    K1: 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
    P256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
}
CURVES = {K1: ec.SECP256K1(), P256: ec.SECP256R1()}
NAMES = {K1: "secp256k1", P256: "P-256"}
SECRET = b"\x11" * 32
GOLDEN = {
    K1: (
        "034f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa",
        (
            "03fc8709fd92b8ddfddb902d95c5a7d8ff67384d8aa2ea08ec8ea4560b5bada5"
            "47e1f3f371e9ee90058067c5f3ca7a67745cb7e414cba671fb663600cc503a55"
        ),
    ),
    P256: (
        "020217e617f0b6443928278f96999e69a23a4f2c152bdf6d6cdf66e5b80282d4ed",
        (
            "34f5f8dbeeb4f18cdc61f7ca084778b40301df22e280a6421c8591cdeb4f77e3"
            "f5e1f6c82a809ba8e83a8590735636b556bf4ba9b0bc2a90e6fbe6d28eb698fd"
        ),
    ),
}
either = pytest.mark.parametrize("key_type", [K1, P256], ids=["secp256k1", "p256"])


@either
def test_the_scalar_of_the_reference_sheet_gives_its_public_key_and_signature(key_type: KeyType) -> None:
    public, signature = GOLDEN[key_type]
    pair = from_secret(key_type, SECRET)
    assert pair.public.hex() == public
    assert {pair.sign(b"text", version).hex() for version in SigningVersion} == {signature}


def test_p256_signs_the_sample_of_rfc_6979() -> None:
    secret = bytes.fromhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
    pair = from_secret(P256, secret, purpose=Purpose.RAW)
    assert pair.sign(b"sample").hex() == (
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    )


@settings(deadline=None)
@given(
    key_type=sampled_from([K1, P256]),
    scalar=integers(1, min(ORDERS.values()) - 1),
    message=binary(max_size=99),
    purpose=sampled_from([Purpose.TEZOS, Purpose.RAW]),
)
def test_signatures_are_the_deterministic_ones_of_the_cryptography_package(
    key_type: KeyType, scalar: int, message: bytes, purpose: Purpose
) -> None:
    tezos, raw = hashlib.blake2b(message, digest_size=32).digest(), hashlib.sha256(message).digest()
    other = ec.derive_private_key(scalar, CURVES[key_type])
    algorithm = ec.ECDSA(Prehashed(SHA256()), deterministic_signing=True)
    r, s = decode_dss_signature(other.sign(tezos if purpose is Purpose.TEZOS else raw, algorithm))
    if key_type is K1:
        s = min(s, ORDERS[K1] - s)
    pair = from_secret(key_type, scalar.to_bytes(32, "big"), purpose=purpose)
    assert pair.sign(message) == r.to_bytes(32, "big") + s.to_bytes(32, "big")


@either
def test_the_other_half_of_s_verifies_for_p256_only(key_type: KeyType) -> None:
    public, signature = GOLDEN[key_type]
    r, s = signature[:64], int(signature[64:], 16)
    flipped = bytes.fromhex(r) + (ORDERS[key_type] - s).to_bytes(32, "big")
    verifier = Verifier(key_type, bytes.fromhex(public), Purpose.TEZOS)
    assert verifier.verify(b"text", bytes.fromhex(signature))
    assert verifier.verify(b"text", flipped) is (key_type is P256)


@either
def test_signatures_out_of_range_or_in_der_are_refused(key_type: KeyType) -> None:
    public, text = GOLDEN[key_type]
    signature, order = bytes.fromhex(text), ORDERS[key_type].to_bytes(32, "big")
    r, s = signature[:32], signature[32:]
    der = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    verifier = Verifier(key_type, bytes.fromhex(public), Purpose.TEZOS)
    bad = [bytes(32) + s, r + bytes(32), bytes(64), r + order, order + s, b"\xff" * 64, der]
    bad += [signature[:-1], signature + b"\0", b""]
    assert [verifier.verify(b"text", item) for item in bad] == [False] * len(bad)


@either
def test_scalars_out_of_range_are_refused_by_name(key_type: KeyType) -> None:
    order, name = ORDERS[key_type], NAMES[key_type]
    past = f"the {name} secret key is not below the order of the curve"
    table = {
        bytes(32): f"the {name} secret key is zero",
        order.to_bytes(32, "big"): past,
        (order + 1).to_bytes(32, "big"): past,
        b"\xff" * 32: past,
        b"\x01" * 31: f"a {name} secret key is 32 bytes long, not 31",
        b"\x01" * 33: f"a {name} secret key is 32 bytes long, not 33",
        b"": f"a {name} secret key is 32 bytes long, not 0",
    }
    for secret, words in table.items():
        with pytest.raises(MalformedError) as caught:
            from_secret(key_type, secret)
        assert str(caught.value) == words
    assert from_secret(key_type, (order - 1).to_bytes(32, "big")).secret == (order - 1).to_bytes(32, "big")


@either
def test_what_is_not_a_public_key_is_refused_by_name(key_type: KeyType) -> None:
    name, good = NAMES[key_type], bytes.fromhex(GOLDEN[key_type][0])
    table = {
        b"\x04" + good[1:]: f"a {name} public key begins with 02 or 03, not 04",
        bytes(33): f"a {name} public key begins with 02 or 03, not 00",
        b"\x02" + b"\xff" * 32: f"the {name} public key is not a point of the curve",
        good[:-1]: f"a {name} public key is 33 bytes long (compressed), not 32",
        b"\0": f"a {name} public key is 33 bytes long (compressed), not 1",
    }
    for public, words in table.items():
        with pytest.raises(MalformedError) as caught:
            check_public(key_type, public)
        assert str(caught.value) == words


@settings(deadline=None)
@given(key_type=sampled_from([K1, P256]), signature=binary(max_size=70), message=binary(max_size=9))
def test_no_signature_bytes_make_the_verifier_raise(
    key_type: KeyType, signature: bytes, message: bytes
) -> None:
    public = bytes.fromhex(GOLDEN[key_type][0])
    assert not Verifier(key_type, public, Purpose.TEZOS).verify(message, signature)


@pytest.mark.parametrize(
    ("key_type", "name"),
    [(K1, "ecdsa_secp256k1_sha256_p1363"), (P256, "ecdsa_secp256r1_sha256_p1363")],
    ids=["secp256k1", "p256"],
)
def test_wycheproof_agrees_but_for_high_s(
    key_type: KeyType, name: str, wycheproof: Callable[[str], Any]
) -> None:
    wrong = []
    for group, row in wycheproof(name):
        point = bytes.fromhex(group["publicKey"]["uncompressed"])
        public = bytes([2 + point[64] % 2]) + point[1:33]
        signature = bytes.fromhex(row["sig"])
        high = key_type is K1 and int.from_bytes(signature[32:], "big") > ORDERS[K1] // 2
        valid = Verifier(key_type, public, Purpose.RAW).verify(bytes.fromhex(row["msg"]), signature)
        if valid != (row["result"] == "valid" and not high):
            wrong.append(row["tcId"])
    assert wrong == []
