"""ML-DSA against the reference sheet, cryptography, dilithium-py, mldsa and wycheproof."""

import hashlib
from collections.abc import Callable
from typing import Any

import mldsa as pure
import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa as openssl
from dilithium_py.ml_dsa import ML_DSA_44, ML_DSA_65, ML_DSA_87  # type: ignore[import-untyped]  # the package has no types
from hypothesis import given, settings
from hypothesis.strategies import binary, integers

from signatory.crypto.curves import LENGTHS, KeyType, Purpose, SigningVersion
from signatory.crypto.keypair import Verifier, check_public, from_secret
from signatory.errors import MalformedError

SEED = bytes(range(32))
PUBLIC_SHA256 = {
    KeyType.MLDSA44: "9f107644c1084526af3bc8098680b05499a2325a644e388fb4f970e058d19d46",
    KeyType.MLDSA65: "d666806e11cee19a7c989f7445f90dd419cf4d2d51db8c0fdb4c0f0a542238c9",
    KeyType.MLDSA87: "91dc389cfaa01470b7f66eee45a4ae9026d154817c754dfe22298b3fa241ffcd",
}
DETERMINISTIC_SHA256 = {
    KeyType.MLDSA44: "f2eb3fa4c757f77cb5f55a1f64ff957a6b19ddbd9f0022738910a4e13aa5747e",
    KeyType.MLDSA65: "3acc88189bbc21f50d19e00245d52ae9f78aca81c1205f255ed584e60cc04683",
    KeyType.MLDSA87: "b6f4b557ea84a1ad277d910fd53a946af1fc6265918a6225f658e2a1ace53b55",
}
OPENSSL: dict[KeyType, tuple[Any, Any]] = {
    KeyType.MLDSA44: (openssl.MLDSA44PrivateKey, openssl.MLDSA44PublicKey),
    KeyType.MLDSA65: (openssl.MLDSA65PrivateKey, openssl.MLDSA65PublicKey),
    KeyType.MLDSA87: (openssl.MLDSA87PrivateKey, openssl.MLDSA87PublicKey),
}
DILITHIUM = {KeyType.MLDSA44: ML_DSA_44, KeyType.MLDSA65: ML_DSA_65, KeyType.MLDSA87: ML_DSA_87}
NAMES = {KeyType.MLDSA44: "ML-DSA-44", KeyType.MLDSA65: "ML-DSA-65", KeyType.MLDSA87: "ML-DSA-87"}
every = pytest.mark.parametrize("key_type", list(NAMES), ids=list(NAMES.values()))


@every
def test_the_seed_of_the_reference_sheet_gives_its_public_key(key_type: KeyType) -> None:
    pair = from_secret(key_type, SEED, purpose=Purpose.RAW)
    assert hashlib.sha256(pair.public).hexdigest() == PUBLIC_SHA256[key_type]
    assert pair.secret == SEED
    assert len(pair.expanded) == LENGTHS[key_type].expanded


@every
def test_the_deterministic_signature_of_the_reference_sheet_verifies(key_type: KeyType) -> None:
    public, expanded = DILITHIUM[key_type].key_derive(SEED)
    signature = DILITHIUM[key_type].sign(expanded, b"text", deterministic=True)
    assert hashlib.sha256(signature).hexdigest() == DETERMINISTIC_SHA256[key_type]
    assert from_secret(key_type, SEED, purpose=Purpose.RAW).expanded == expanded
    verifier = Verifier(key_type, public, Purpose.RAW)
    assert verifier.verify(b"text", signature)
    assert not verifier.verify(b"text", DILITHIUM[key_type].sign(expanded, b"text", ctx=b"x"))


@every
def test_signatures_verify_in_three_other_libraries(key_type: KeyType) -> None:
    pair = from_secret(key_type, SEED, purpose=Purpose.RAW)
    signature = pair.sign(b"text")
    private, public = OPENSSL[key_type]
    assert private.from_seed_bytes(SEED).public_key().public_bytes_raw() == pair.public
    public.from_public_bytes(pair.public).verify(signature, b"text")
    assert DILITHIUM[key_type].verify(pair.public, b"text", signature)
    pure.VerificationKey(pair.public).verify(signature, b"text")
    assert len(signature) == LENGTHS[key_type].signature


@every
def test_signatures_of_openssl_verify_and_altered_ones_do_not(key_type: KeyType) -> None:
    private = OPENSSL[key_type][0].from_seed_bytes(SEED)
    signature = private.sign(b"text")
    verifier = Verifier(key_type, private.public_key().public_bytes_raw(), Purpose.RAW)
    assert verifier.verify(b"text", signature)
    bad = [signature[:-1], signature + b"\0", b"", bytes(len(signature)), private.sign(b"text", b"context")]
    bad += [bytes([signature[0] ^ 1]) + signature[1:]]
    assert [verifier.verify(b"text", item) for item in bad] == [False] * len(bad)


@every
def test_repeated_hint_indices_are_refused(key_type: KeyType) -> None:
    private = OPENSSL[key_type][0].from_seed_bytes(SEED)
    verifier = Verifier(key_type, private.public_key().public_bytes_raw(), Purpose.RAW)
    k, omega = {KeyType.MLDSA44: (4, 80), KeyType.MLDSA65: (6, 55), KeyType.MLDSA87: (8, 75)}[key_type]
    signature = bytearray(private.sign(b"text"))
    hint = len(signature) - k - omega
    signature[hint + 1] = signature[hint]
    assert not verifier.verify(b"text", bytes(signature))


def test_a_tezos_key_signs_the_blake2b_digest_in_every_version_and_a_raw_key_the_message() -> None:
    tezos = from_secret(KeyType.MLDSA44, SEED)
    raw = from_secret(KeyType.MLDSA44, SEED, purpose=Purpose.RAW)
    digest = hashlib.blake2b(b"text", digest_size=32).digest()
    public = OPENSSL[KeyType.MLDSA44][1].from_public_bytes(tezos.public)
    assert tezos.purpose is Purpose.TEZOS
    for version in SigningVersion:
        public.verify(tezos.sign(b"text", version), digest)
    public.verify(raw.sign(b"text"), b"text")


def test_signing_is_hedged() -> None:
    pair = from_secret(KeyType.MLDSA44, SEED)
    assert pair.sign(b"text") != pair.sign(b"text")


@pytest.mark.parametrize("key_type", [KeyType.MLDSA65, KeyType.MLDSA87], ids=["65", "87"])
def test_the_larger_sets_are_never_tezos_keys(key_type: KeyType) -> None:
    assert from_secret(key_type, SEED).purpose is Purpose.RAW
    words = f"^{NAMES[key_type]} keys cannot sign for Tezos: only ML-DSA-44 has a Tezos form$"
    with pytest.raises(MalformedError, match=words):
        from_secret(key_type, SEED, purpose=Purpose.TEZOS)


@every
def test_an_expanded_key_stays_expanded_and_signs_for_the_same_public_key(key_type: KeyType) -> None:
    public, expanded = DILITHIUM[key_type].key_derive(SEED)
    pair = from_secret(key_type, expanded, purpose=Purpose.RAW, public=public)
    assert (pair.public, pair.secret, pair.expanded) == (public, expanded, expanded)
    OPENSSL[key_type][1].from_public_bytes(public).verify(pair.sign(b"text"), b"text")


@every
def test_wrong_secrets_are_refused_by_name(key_type: KeyType) -> None:
    name, lengths = NAMES[key_type], LENGTHS[key_type]
    public, expanded = DILITHIUM[key_type].key_derive(SEED)
    broken = bytearray(expanded)
    broken[64] ^= 1  # tr, the hash of the public key
    contradiction = f"the expanded {name} key contradicts itself: its parts do not belong together"
    form = f"an {name} secret key is a seed of 32 bytes or an expanded key of {lengths.expanded}, not"
    table = {
        bytes(broken): contradiction,
        b"\xff" * lengths.expanded: contradiction,
        expanded[:-1]: f"{form} {lengths.expanded - 1} bytes",
        SEED[:-1]: f"{form} 31 bytes",
        b"": f"{form} 0 bytes",
    }
    for secret, words in table.items():
        with pytest.raises(MalformedError) as caught:
            from_secret(key_type, secret, purpose=Purpose.RAW)
        assert str(caught.value) == words
    with pytest.raises(MalformedError) as caught:
        from_secret(key_type, SEED, purpose=Purpose.RAW, public=public[::-1])
    assert str(caught.value) == f"the public part of the {name} key does not belong to its secret part"


@every
def test_a_public_key_of_another_length_is_refused(key_type: KeyType) -> None:
    length = LENGTHS[key_type].public
    with pytest.raises(MalformedError) as caught:
        check_public(key_type, bytes(length - 1))
    assert str(caught.value) == f"an {NAMES[key_type]} public key is {length} bytes long, not {length - 1}"


@settings(max_examples=30, deadline=None)
@given(tail=binary(max_size=40), cut=integers(0, 2420))
def test_no_signature_bytes_make_the_verifier_raise(tail: bytes, cut: int) -> None:
    pair = from_secret(KeyType.MLDSA44, SEED)
    verifier = Verifier(KeyType.MLDSA44, pair.public, Purpose.TEZOS)
    signature = pair.sign(b"text")[:cut] + tail
    assert not verifier.verify(b"texu", signature)


@every
def test_wycheproof_verification_agrees(key_type: KeyType, wycheproof: Callable[[str], Any]) -> None:
    wrong, seen = [], 0
    for group, row in wycheproof(f"{key_type.value.replace('mldsa', 'mldsa_')}_verify"):
        if row.get("ctx"):
            continue
        seen += 1
        try:
            verifier = Verifier(key_type, bytes.fromhex(group["publicKey"]), Purpose.RAW)
            valid = verifier.verify(bytes.fromhex(row["msg"]), bytes.fromhex(row["sig"]))
        except MalformedError:
            valid = False
        if valid != (row["result"] == "valid"):
            wrong.append(row["tcId"])
    assert wrong == []
    assert seen > 100


@every
def test_wycheproof_seeds_give_its_public_keys_and_its_signatures_verify(
    key_type: KeyType, wycheproof: Callable[[str], Any]
) -> None:
    wrong, seen = [], 0
    for group, row in wycheproof(f"{key_type.value.replace('mldsa', 'mldsa_')}_sign_seed"):
        if row.get("ctx") or "Internal" in row["flags"]:
            continue
        seen += 1
        try:
            pair = from_secret(key_type, bytes.fromhex(group["privateSeed"]), purpose=Purpose.RAW)
        except MalformedError:
            if row["result"] == "valid":
                wrong.append(row["tcId"])
            continue
        verifier = Verifier(key_type, bytes.fromhex(group["publicKey"]), Purpose.RAW)
        message = bytes.fromhex(row["msg"])
        good = verifier.verify(message, bytes.fromhex(row["sig"]))
        if (
            pair.public.hex() != group["publicKey"]
            or not good
            or not verifier.verify(message, pair.sign(message))
        ):
            wrong.append(row["tcId"])
    assert wrong == []
    assert seen > 50
