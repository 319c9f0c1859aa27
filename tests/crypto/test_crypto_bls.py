"""BLS against the reference sheet, py_ecc, py-arkworks and wycheproof."""

import hashlib
from collections.abc import Callable
from typing import Any

import py_arkworks_bls12381 as ark
import pytest
from hypothesis import given, settings
from hypothesis.strategies import binary, integers
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from signatory.crypto import bls
from signatory.crypto.curves import KeyType, Purpose, SigningVersion
from signatory.crypto.keypair import Verifier, check_public, from_secret, generate, verify_possession
from signatory.errors import MalformedError

BLS = KeyType.BLS
ORDER = 52435875175126190479447740508185965837690552500527637822603658699938581184513
MATERIAL = bytes(range(32))
SECRET = "23360db7e337b0a32b264e06bc11c1b474d16f55665373de1ce93cf15ddb3456"
PUBLIC = "9112a0386a2340714ba0c6d2df235377a8679c3899d03e6ef04dba7a50ef49e5a1dc93105e9374e93ed301b63487e17c"
VERSION_1 = (
    "8e691d9795c08c0fc030abdc040255b86990a35441ded57d9450f15e064b5675c2197fbffd7a0d9432497198468b5925"
    "02964d16985f4633107d7907eabee485be2c72f7c15fbf068417d52bcebb1902ebd2a3cf9909ba10978bf5b0597d8180"
)
VERSION_2 = (
    "a8347f8f6c946a5be9ca8a80d10e20601e17b643695d7ccf44fb52fa76baa42a873181eaa79ba4a60b9b21f544f8b6f8"
    "07dbd321dd82002f0132a32bd12d7ce6672403adf1a48013701adf8b39ccbe243195e0d3c290d011ae9c573622095650"
)
PROOF = (
    "915993b4e43e717ec8079234490be46018bdc7d70e81de1bbec515844a3754cc0a387ddf825a2faa0984fa794a96b5a2"
    "0da605161aa42c1d4028abeb3c52ffbf35d41bd26398e7110d0b6566e0b74b30b3431c4b821cc85a9d61ad5ffd3f9042"
)
AUG = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_AUG_"
POP = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
POP_PROOF = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
INFINITY_1 = b"\xc0" + bytes(47)
INFINITY_2 = b"\xc0" + bytes(95)
# x = 4 is on E(Fp), outside the subgroup: found and checked with py-arkworks, see the test of it.
OUTSIDE = bytes.fromhex("80" + "00" * 46 + "04")
V1, V2, LATEST = SigningVersion.V1, SigningVersion.V2, SigningVersion.LATEST


def arkworks(scalar: int, message: bytes, dst: bytes) -> bytes:
    point = ark.G2Point.hash_to_curve(message, dst) * ark.Scalar.from_be_bytes(scalar.to_bytes(32, "big"))
    return bytes(point.to_compressed_bytes())


def test_the_key_of_the_reference_sheet_gives_its_public_key_signatures_and_proof() -> None:
    pair = generate(BLS, Purpose.TEZOS, lambda size: MATERIAL[:size])
    assert pair.secret.hex() == SECRET
    assert pair.public.hex() == PUBLIC
    assert pair.sign(b"text", V1).hex() == VERSION_1
    assert {pair.sign(b"text", version).hex() for version in (V2, LATEST)} == {VERSION_2}
    assert pair.prove().hex() == PROOF


@settings(max_examples=25, deadline=None)
@given(scalar=integers(1, ORDER - 1), message=binary(max_size=99))
def test_signatures_and_proofs_are_those_of_arkworks(scalar: int, message: bytes) -> None:
    pair = from_secret(BLS, scalar.to_bytes(32, "big"))
    public = (ark.G1Point() * ark.Scalar.from_be_bytes(pair.secret)).to_compressed_bytes()
    assert pair.public == bytes(public)
    assert pair.sign(message, V1) == arkworks(scalar, pair.public + message, AUG)
    assert pair.sign(message, V2) == arkworks(scalar, message, POP)
    assert pair.prove() == arkworks(scalar, pair.public, POP_PROOF)


@settings(max_examples=20, deadline=None)
@given(material=binary(min_size=32, max_size=80))
def test_keys_are_derived_as_py_ecc_does(material: bytes) -> None:
    assert int.from_bytes(bls.derive(material), "big") == G2ProofOfPossession.KeyGen(material)


def test_short_material_is_refused() -> None:
    with pytest.raises(MalformedError, match=r"^BLS key material is at least 32 bytes long, not 31$"):
        bls.derive(bytes(31))


def test_version_0_is_refused_with_the_words_of_the_reference() -> None:
    pair = from_secret(BLS, bytes.fromhex(SECRET))
    with pytest.raises(MalformedError, match=r"^SigningVersion0 is not supported for BLS keys$"):
        pair.sign(b"text", SigningVersion.V0)
    verifier = Verifier(BLS, pair.public, Purpose.TEZOS)
    assert not verifier.verify(b"text", pair.sign(b"text"), SigningVersion.V0)


def test_each_version_verifies_only_its_own_signatures() -> None:
    verifier = Verifier(BLS, bytes.fromhex(PUBLIC), Purpose.TEZOS)
    first, second = bytes.fromhex(VERSION_1), bytes.fromhex(VERSION_2)
    assert verifier.verify(b"text", first, V1)
    assert verifier.verify(b"text", second, V2)
    assert verifier.verify(b"text", second)
    assert not verifier.verify(b"text", first, V2)
    assert not verifier.verify(b"text", second, V1)
    assert not verifier.verify(bytes.fromhex(PUBLIC), bytes.fromhex(PROOF))


def test_a_proof_of_possession_holds_for_its_own_key_only() -> None:
    public, proof = bytes.fromhex(PUBLIC), bytes.fromhex(PROOF)
    other = from_secret(BLS, bytes(31) + b"\x05")
    assert verify_possession(public, proof)
    assert not verify_possession(public, other.prove())
    assert not verify_possession(other.public, proof)
    assert not verify_possession(public, from_secret(BLS, bytes.fromhex(SECRET)).sign(public))
    assert not verify_possession(public, INFINITY_2)


def test_infinity_and_points_outside_the_group_are_never_a_signature() -> None:
    verifier = Verifier(BLS, bytes.fromhex(PUBLIC), Purpose.TEZOS)
    outside = next(
        bytes([0x80]) + bytes(94) + bytes([x])
        for x in range(1, 200)
        if on_curve_outside_group(bytes([0x80]) + bytes(94) + bytes([x]))
    )
    flags_off = bytes([bytes.fromhex(VERSION_2)[0] & 0x1F]) + bytes.fromhex(VERSION_2)[1:]
    for signature in (INFINITY_2, outside, bytes(96), b"\xff" * 96, flags_off, bytes.fromhex(VERSION_2)[:-1]):
        assert not verifier.verify(b"text", signature)


def on_curve_outside_group(data: bytes) -> bool:
    try:
        return not ark.G2Point.from_compressed_bytes_unchecked(data).is_in_subgroup()
    except ValueError:
        return False


def test_what_is_not_a_public_key_is_refused_by_name() -> None:
    assert not ark.G1Point.from_compressed_bytes_unchecked(OUTSIDE).is_in_subgroup()
    table = {
        INFINITY_1: "the BLS public key is the point at infinity",
        OUTSIDE: "the BLS public key is not a point of the prime-order group",
        b"\x80" + b"\0" * 46 + b"\x01": "the BLS public key is not a point of the prime-order group",
        bytes(48): "the BLS public key is not a point of the prime-order group",
        bytes.fromhex(PUBLIC)[:47]: "a BLS public key is 48 bytes long, not 47",
        bytes(96): "a BLS public key is 48 bytes long, not 96",
    }
    for public, words in table.items():
        with pytest.raises(MalformedError) as caught:
            check_public(BLS, public)
        assert str(caught.value) == words


def test_scalars_out_of_range_are_refused_by_name() -> None:
    past = "the BLS secret key is not below the order of the group"
    table = {
        bytes(32): "the BLS secret key is zero",
        ORDER.to_bytes(32, "big"): past,
        (ORDER + 1).to_bytes(32, "big"): past,
        b"\xff" * 32: past,
        bytes(31): "a BLS secret key is 32 bytes long, not 31",
    }
    for secret, words in table.items():
        with pytest.raises(MalformedError) as caught:
            from_secret(BLS, secret)
        assert str(caught.value) == words


@settings(max_examples=50, deadline=None)
@given(signature=binary(min_size=90, max_size=100))
def test_no_signature_bytes_make_the_verifier_raise(signature: bytes) -> None:
    assert not Verifier(BLS, bytes.fromhex(PUBLIC), Purpose.TEZOS).verify(b"text", signature)


@pytest.mark.parametrize(
    ("name", "dst"),
    [
        ("bls_sig_g2_pop_verify", POP),
        ("bls_sig_g2_basic_verify", b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_"),
    ],
    ids=["pop", "basic"],
)
def test_wycheproof_agrees(name: str, dst: bytes, wycheproof: Callable[[str], Any]) -> None:
    wrong = []
    for group, row in wycheproof(name):
        public, signature = bytes.fromhex(group["publicKey"]["pk"]), bytes.fromhex(row["sig"])
        try:
            valid = bls.Verifier(public)._verify(bytes.fromhex(row["msg"]), dst, signature)
        except MalformedError:
            valid = False
        if valid != (row["result"] == "valid"):
            wrong.append((row["tcId"], row["comment"]))
    assert wrong == []


def test_wycheproof_hashes_to_the_same_points(wycheproof: Callable[[str], Any]) -> None:
    for group, row in wycheproof("bls_hash_to_g2"):
        point = bls._hash(bytes.fromhex(row["msg"]), group["dst"].encode())
        assert bytes(point.compress()).hex() == row["expected"]


def test_a_digest_is_never_signed_in_place_of_the_message() -> None:
    pair = from_secret(BLS, bytes.fromhex(SECRET))
    digest = hashlib.blake2b(b"text", digest_size=32).digest()
    assert pair.sign(digest) != pair.sign(b"text")
