"""Secret keys in every form, against texts and ciphertexts made by other libraries."""

import hashlib
from functools import partial

import base58 as package
import py_arkworks_bls12381 as ark
import pytest
from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from dilithium_py.ml_dsa import ML_DSA_44  # type: ignore[import-untyped]  # the package has no types
from hypothesis import given, settings
from hypothesis.strategies import binary, sampled_from, text
from nacl.secret import SecretBox

from signatory.crypto.curves import KeyType, Purpose
from signatory.crypto.keypair import from_secret
from signatory.errors import ConfigError, MalformedError
from signatory.tezos import encrypted, secrets

SECRET = bytes(range(1, 33))
SCALAR = int.from_bytes(SECRET, "big")
MLDSA_PUBLIC, MLDSA_EXPANDED = ML_DSA_44.key_derive(SECRET)
SALT = bytes(range(8))
PASSWORD = "correct horse é"
R = 52435875175126190479447740508185965837690552500527637822603658699938581184513


def check58(code: str, payload: bytes) -> str:
    return package.b58encode_check(bytes.fromhex(code) + payload).decode()


def sealed(payload: bytes, password: str = PASSWORD) -> bytes:
    key = PBKDF2HMAC(SHA512(), 32, SALT, 32768).derive(password.encode())
    return SALT + SecretBox(key).encrypt(payload, bytes(24)).ciphertext


P256 = ec.derive_private_key(SCALAR, ec.SECP256R1()).public_key()
PUBLIC = {
    KeyType.ED25519: Ed25519PrivateKey.from_private_bytes(SECRET).public_key().public_bytes_raw(),
    KeyType.SECP256K1: PrivateKey(SECRET).public_key.format(),
    KeyType.P256: P256.public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
    KeyType.BLS: bytes((ark.G1Point() * ark.Scalar.from_be_bytes(SECRET)).to_compressed_bytes()),
    KeyType.MLDSA44: MLDSA_PUBLIC,
}
# plain prefix, encrypted prefix, what both hold
FORMS = {
    KeyType.ED25519: ("0d0f3a07", "075a3cb329", SECRET),
    KeyType.SECP256K1: ("11a2e0c9", "09edf1ae96", SECRET),
    KeyType.P256: ("1051eebd", "09303973ab", SECRET),
    KeyType.BLS: ("0396c028", "02051e3519", SECRET[::-1]),
    KeyType.MLDSA44: ("09397439", "05318527ac", MLDSA_EXPANDED + MLDSA_PUBLIC),
}
every = pytest.mark.parametrize("key_type", list(FORMS), ids=[item.value for item in FORMS])


@every
def test_plain_texts_are_read_and_written(key_type: KeyType) -> None:
    code, _, payload = FORMS[key_type]
    plain = check58(code, payload)
    pair = secrets.parse(plain)
    assert (pair.type, pair.public, pair.purpose) == (key_type, PUBLIC[key_type], Purpose.TEZOS)
    assert pair.secret == (MLDSA_EXPANDED if key_type is KeyType.MLDSA44 else SECRET)
    assert secrets.text(pair) == plain
    assert secrets.parse(f"unencrypted:{plain}\n".encode()) == pair


@every
def test_encrypted_texts_are_read(key_type: KeyType) -> None:
    _, code, payload = FORMS[key_type]
    cipher = check58(code, sealed(payload))
    for form in (cipher, f"encrypted:{cipher}", f" {cipher}\n"):
        assert secrets.parse(form, password=lambda: PASSWORD).public == PUBLIC[key_type]


def test_encryption_writes_what_the_other_library_writes() -> None:
    for payload in (SECRET, MLDSA_EXPANDED + MLDSA_PUBLIC):
        assert encrypted.encrypt(payload, PASSWORD.encode(), SALT) == sealed(payload)
    with pytest.raises(MalformedError, match=r"^the salt of an encrypted key is 8 bytes long, not 7$"):
        encrypted.encrypt(SECRET, b"", SALT[:7])


def test_the_sizes_of_the_encrypted_forms_are_those_of_the_sheets() -> None:
    assert len(sealed(SECRET)) == 56
    assert len(sealed(MLDSA_EXPANDED + MLDSA_PUBLIC)) == 3896


def test_a_key_born_from_a_seed_writes_the_expanded_text_of_the_same_key() -> None:
    pair = from_secret(KeyType.MLDSA44, SECRET)
    assert secrets.text(pair) == check58("09397439", MLDSA_EXPANDED + MLDSA_PUBLIC)


def test_the_long_ed25519_form_must_hold_its_own_public_key() -> None:
    public = PUBLIC[KeyType.ED25519]
    assert secrets.parse(check58("2bf64e07", SECRET + public)).secret == SECRET
    with pytest.raises(MalformedError) as caught:
        secrets.parse(check58("2bf64e07", SECRET + public[::-1]))
    assert str(caught.value) == "the public part of the Ed25519 key does not belong to its secret part"


def test_an_mdsk_must_hold_its_own_public_key() -> None:
    with pytest.raises(MalformedError) as caught:
        secrets.parse(check58("09397439", MLDSA_EXPANDED + MLDSA_PUBLIC[::-1]))
    assert str(caught.value) == "the public part of the ML-DSA-44 key does not belong to its secret part"
    broken = MLDSA_EXPANDED[:64] + bytes(64) + MLDSA_EXPANDED[128:]
    with pytest.raises(MalformedError, match=r"^the expanded ML-DSA-44 key contradicts itself"):
        secrets.parse(check58("09397439", broken + MLDSA_PUBLIC))


def test_a_wrong_password_is_refused_with_the_words_of_the_reference() -> None:
    cipher = check58("075a3cb329", sealed(SECRET))
    with pytest.raises(MalformedError) as caught:
        secrets.parse(cipher, password=lambda: "wrong")
    assert str(caught.value) == "tezos: unable to decrypt the private key"
    assert caught.value.hint
    with pytest.raises(MalformedError, match=r"^the secret key is encrypted$"):
        secrets.parse(cipher)


def test_the_password_is_asked_for_encrypted_keys_only_and_its_errors_pass() -> None:
    def nobody() -> str:
        raise ConfigError("nobody can be asked")

    assert secrets.parse(check58("0d0f3a07", SECRET), password=nobody).secret == SECRET
    with pytest.raises(ConfigError):
        secrets.parse(check58("075a3cb329", sealed(SECRET)), password=nobody)


def test_pem_and_der_are_read_too() -> None:
    key = Ed25519PrivateKey.from_private_bytes(SECRET)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for form in (pem, pem.decode(), b"# a comment\n" + pem, der):
        assert secrets.parse(form).public == PUBLIC[KeyType.ED25519]
    assert secrets.parse(der, purpose=Purpose.RAW).purpose is Purpose.RAW


def test_scalars_out_of_range_are_refused_by_name() -> None:
    table = {
        check58("0396c028", bytes(32)): "the BLS secret key is zero",
        check58(
            "0396c028", R.to_bytes(32, "little")
        ): "the BLS secret key is not below the order of the group",
        check58("0396c028", (R + 1).to_bytes(32, "little")): (
            "the BLS secret key is not below the order of the group"
        ),
        check58("11a2e0c9", bytes(32)): "the secp256k1 secret key is zero",
        check58("1051eebd", b"\xff" * 32): "the P-256 secret key is not below the order of the curve",
    }
    for form, words in table.items():
        with pytest.raises(MalformedError) as caught:
            secrets.parse(form)
        assert str(caught.value) == words
    assert secrets.parse(check58("0396c028", (R - 1).to_bytes(32, "little"))).secret == (R - 1).to_bytes(
        32, "big"
    )


def test_other_values_are_refused_by_name_and_never_shown() -> None:
    good = check58("0d0f3a07", SECRET)
    table = {
        check58("0d0f25d9", SECRET): "this is a public key, not a secret key",
        check58("06a19f", bytes(20)): "this is a hash, not a secret key",
        check58("04822b", bytes(64)): "this is a signature, not a secret key",
        good[:-1]: "the Base58 text has a wrong checksum",
        good + "0": "the Base58 text holds a character outside its alphabet",
        f"ledger:{good}": "the secret key has an unknown scheme",
        f"unencrypted:encrypted:{good}": "the secret key has an unknown scheme",
        "": "the Base58 text is empty",
    }
    for form, words in table.items():
        with pytest.raises(MalformedError) as caught:
            secrets.parse(form)
        assert str(caught.value) == words
        assert good[:20] not in f"{caught.value!r}{caught.value.hint}"
    with pytest.raises(MalformedError, match=r"^the secret key is neither text nor DER$"):
        secrets.parse(b"\xff\xfe")


@pytest.mark.parametrize("key_type", [KeyType.MLDSA65, KeyType.MLDSA87])
def test_the_larger_mldsa_sets_have_no_secret_text(key_type: KeyType) -> None:
    with pytest.raises(
        MalformedError, match=f"^Tezos has no text form for a secret key of the family {key_type.value}$"
    ):
        secrets.text(from_secret(key_type, SECRET))


@settings(deadline=None)
@given(sampled_from([SECRET, hashlib.sha256(b"x").digest()]), sampled_from(list(FORMS)[:4]))
def test_every_pair_comes_back_from_its_text(secret: bytes, key_type: KeyType) -> None:
    pair = from_secret(key_type, (int.from_bytes(secret, "big") % R).to_bytes(32, "big"))
    assert secrets.parse(secrets.text(pair)) == pair


@settings(deadline=None)
@given(binary(max_size=120) | text(max_size=120))
def test_anything_is_a_key_or_malformed(given_data: bytes | str) -> None:
    try:
        pair = secrets.parse(given_data, password=partial(str, "x"))
    except MalformedError:
        return
    assert secrets.parse(secrets.text(pair)) == pair


@settings(max_examples=20, deadline=None)
@given(sampled_from(list(FORMS)), binary(min_size=3896, max_size=3896))
def test_any_payload_of_the_right_length_is_a_key_or_malformed(key_type: KeyType, noise: bytes) -> None:
    plain, cipher, payload = FORMS[key_type]
    for form in (check58(plain, noise[: len(payload)]), check58(cipher, noise[: len(payload) + 24])):
        try:
            secrets.parse(form, password=partial(str, "x"))
        except MalformedError:
            continue
