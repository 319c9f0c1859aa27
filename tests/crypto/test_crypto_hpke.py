"""Hybrid public key encryption, against RFC 9180 written down a second time from X25519 and HMAC alone."""

import hmac
import traceback

import pytest
from Crypto.Cipher import AES
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from signatory.crypto import hpke
from signatory.errors import IntegrityError, MalformedError

KEM = b"KEM" + (0x20).to_bytes(2, "big")
INFO = b"signatory-vault/hpke/v1\0RenewCredentials\0" + bytes(32)

# RFC 9180, A.1.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, base mode, sequence number 0.
RFC_INFO = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
RFC_SKE = "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736"
RFC_ENC = "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"
RFC_SKR = "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"
RFC_PKR = "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"
RFC_PLAINTEXT = b"Beauty is truth, truth beauty"
RFC_AAD = b"Count-0"
RFC_CIPHERTEXT = "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"


def extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, "sha256")


def expand(suite: bytes, key: bytes, label: bytes, info: bytes, size: int) -> bytes:
    """One block of HKDF-Expand: enough for 32 bytes."""
    labelled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(key, labelled + b"\x01", "sha256")[:size]


def key_and_nonce(shared: bytes, enc: bytes, receiver: bytes, info: bytes, aead: int) -> tuple[bytes, bytes]:
    """RFC 9180, 4.1 (ExtractAndExpand) and 5.1 (KeySchedule in base mode)."""
    secret = expand(KEM, extract(KEM, b"", b"eae_prk", shared), b"shared_secret", enc + receiver, 32)
    suite = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x20, 1, aead))
    context = b"\0" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
    secret = extract(suite, secret, b"secret", b"")
    size = {1: 16, 2: 32}[aead]
    return expand(suite, secret, b"key", context, size), expand(suite, secret, b"base_nonce", context, 12)


def exchanged(private: bytes, public: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def public_of(private: X25519PrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def test_the_second_writing_of_the_rfc_opens_the_rfcs_own_vector() -> None:
    enc, receiver = bytes.fromhex(RFC_ENC), bytes.fromhex(RFC_PKR)
    shared = exchanged(bytes.fromhex(RFC_SKR), enc)
    assert shared == exchanged(bytes.fromhex(RFC_SKE), receiver)
    key, nonce = key_and_nonce(shared, enc, receiver, RFC_INFO, 1)
    assert (key.hex(), nonce.hex()) == ("4531685d41d65f03dc48f6b8302c05b0", "56d890e5accaaf011cff4b7d")
    sealed = bytes.fromhex(RFC_CIPHERTEXT)
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce).update(RFC_AAD)
    assert cipher.decrypt_and_verify(sealed[:-16], sealed[-16:]) == RFC_PLAINTEXT


@pytest.mark.parametrize("plaintext", [b"", b"x", bytes(range(256)) * 40], ids=["none", "one", "many"])
def test_what_we_seal_opens_by_the_rfc(plaintext: bytes) -> None:
    private = X25519PrivateKey.generate()
    sealed = hpke.seal(public_of(private), plaintext, INFO)
    assert len(sealed) == len(plaintext) + 48 == len(plaintext) + hpke.OVERHEAD
    enc, body, tag = sealed[:32], sealed[32:-16], sealed[-16:]
    key, nonce = key_and_nonce(exchanged(private.private_bytes_raw(), enc), enc, public_of(private), INFO, 2)
    assert AES.new(key, AES.MODE_GCM, nonce=nonce).decrypt_and_verify(body, tag) == plaintext


@pytest.mark.parametrize("plaintext", [b"", b"x", bytes(range(256)) * 40], ids=["none", "one", "many"])
def test_what_is_sealed_by_the_rfc_opens_here(plaintext: bytes) -> None:
    private, sender = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    enc, receiver = public_of(sender), public_of(private)
    key, nonce = key_and_nonce(exchanged(sender.private_bytes_raw(), receiver), enc, receiver, INFO, 2)
    body, tag = AES.new(key, AES.MODE_GCM, nonce=nonce).encrypt_and_digest(plaintext)
    assert hpke.open_sealed(private, enc + body + tag, INFO) == plaintext


def test_two_seals_of_one_plaintext_have_nothing_in_common() -> None:
    public = public_of(X25519PrivateKey.generate())
    first, second = (hpke.seal(public, b"credentials", INFO) for _ in range(2))
    assert first[:32] != second[:32]
    assert first[32:] != second[32:]


def refusal(private: X25519PrivateKey, sealed: bytes, info: bytes) -> str:
    with pytest.raises(IntegrityError) as caught:
        hpke.open_sealed(private, sealed, info)
    return str(caught.value)


def test_every_reason_not_to_open_is_the_same_error() -> None:
    private = X25519PrivateKey.generate()
    sealed = hpke.seal(public_of(private), b"credentials", INFO)
    flipped = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    said = {refusal(private, each, INFO) for each in flipped}
    said |= {refusal(private, sealed[:size], INFO) for size in range(len(sealed))}
    said |= {refusal(X25519PrivateKey.generate(), sealed, INFO), refusal(private, sealed, INFO + b"\0")}
    said |= {refusal(private, sealed + b"\0", INFO), refusal(private, bytes(32) + sealed[32:], INFO)}
    assert said == {"this was not sealed to the key of this connection, for this use"}


@settings(max_examples=60)
@given(sealed=st.binary(max_size=200))
def test_any_bytes_do_not_open(sealed: bytes) -> None:
    refusal(X25519PrivateKey.from_private_bytes(bytes(31) + b"\x01"), sealed, INFO)


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33), bytes(32), b"\x01" + bytes(31)])
def test_what_is_no_key_is_not_sealed_to(public: bytes) -> None:
    """The last two are points of small order: everybody knows what they agree on."""
    with pytest.raises(MalformedError, match=r"^this is not an X25519 public key$"):
        hpke.seal(public, b"credentials", INFO)


def test_an_error_shows_nothing_of_the_message() -> None:
    private = X25519PrivateKey.generate()
    sealed = hpke.seal(public_of(private), b"AKIA-precious", INFO)
    with pytest.raises(IntegrityError) as caught:
        hpke.open_sealed(private, sealed[:-1], INFO)
    assert "precious" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__suppress_context__
