"""Public keys, hashes and signatures as values."""

import base64
import hashlib

import base58 as package
import pytest
from hypothesis import given, settings
from hypothesis.strategies import binary, sampled_from, text

from signatory.crypto.curves import KeyType
from signatory.errors import MalformedError
from signatory.tezos.keys import PublicKey, PublicKeyHash, Signature

KEYS = {
    KeyType.ED25519: ("0d0f25d9", "06a19f", "09f5cd8612", 32, 64),
    KeyType.SECP256K1: ("03fee256", "06a1a1", "0d7365133f", 33, 64),
    KeyType.P256: ("03b28b7f", "06a1a4", "36f02c34", 33, 64),
    KeyType.BLS: ("069587cc", "06a1a6", "28ab40cf", 48, 96),
    KeyType.MLDSA44: ("0d07ed43", "06a1a9", "019c2dd203", 1312, 2420),
}
PLAIN = {KeyType.MLDSA65: (1952, 3309), KeyType.MLDSA87: (2592, 4627)}
tezos = pytest.mark.parametrize("key_type", list(KEYS), ids=[item.value for item in KEYS])
plain = pytest.mark.parametrize("key_type", list(PLAIN), ids=[item.value for item in PLAIN])


def check58(code: str, payload: bytes) -> str:
    return package.b58encode_check(bytes.fromhex(code) + payload).decode()


@tezos
def test_texts_are_the_base58_of_the_sheets_and_come_back(key_type: KeyType) -> None:
    key_code, hash_code, signature_code, size, signature_size = KEYS[key_type]
    data, signature = bytes(range(256)) * 10, bytes(reversed(range(256))) * 10
    key = PublicKey(key_type, data[:size])
    digest = hashlib.blake2b(data[:size], digest_size=20).digest()
    assert key.text == check58(key_code, data[:size])
    assert key.hash.text == key.id == check58(hash_code, digest)
    assert Signature(key_type, signature[:signature_size]).text == check58(
        signature_code, signature[:signature_size]
    )
    assert PublicKey.parse(key.text) == key
    assert PublicKeyHash.parse(key.id) == key.hash
    assert Signature.parse(check58(signature_code, signature[:signature_size])).type is key_type


@plain
def test_the_larger_mldsa_sets_have_base64_texts_and_their_own_ids(key_type: KeyType) -> None:
    size, signature_size = PLAIN[key_type]
    key, signature = PublicKey(key_type, b"\x5a" * size), Signature(key_type, b"\xa5" * signature_size)
    digest = hashlib.blake2b(key.data, digest_size=20).hexdigest()
    assert key.id == f"{key_type.value}:{digest}"
    assert key.text == base64.b64encode(key.data).decode()
    assert signature.text == base64.b64encode(signature.data).decode()
    assert PublicKey.parse(key.text) == key
    assert Signature.parse(signature.text) == signature
    name = key_type.value.replace("mldsa", "ML-DSA-")
    with pytest.raises(MalformedError, match=f"^{name} keys have no Tezos address$"):
        _ = key.hash


@plain
def test_base64_texts_that_are_not_canonical_are_refused(key_type: KeyType) -> None:
    text = base64.b64encode(b"\x5a" * PLAIN[key_type][1]).decode()
    for bad in ("-" + text[1:], "=" + text[1:], "é" + text[1:], "\n" + text[1:]):
        with pytest.raises(MalformedError):
            Signature.parse(bad)
    padding = len(text) - len(text.rstrip("="))
    if padding:
        last = len(text) - padding - 1
        loose = text[:last] + chr(ord(text[last]) + 1) + text[last + 1 :]
        with pytest.raises(MalformedError, match=r"canonical"):
            Signature.parse(loose)


def test_the_generic_signature_names_no_family() -> None:
    text = check58("04822b", bytes(range(64)))
    assert Signature.parse(text) == Signature(None, bytes(range(64)))
    assert Signature(None, bytes(range(64))).text == text


def test_tags_are_those_of_the_binary_unions() -> None:
    tags = {key_type: PublicKeyHash(key_type, bytes(20)).tag for key_type in KEYS}
    assert list(tags.values()) == [0, 1, 2, 3, 4]
    assert all(PublicKeyHash.from_tag(tag, bytes(20)).type is key_type for key_type, tag in tags.items())
    for tag in (5, 255, -1):
        with pytest.raises(MalformedError, match=f"^no public key hash has the tag {tag}$"):
            PublicKeyHash.from_tag(tag, bytes(20))


def test_one_kind_of_value_is_not_taken_for_another() -> None:
    edpk, tz1, edsig = (
        check58("0d0f25d9", bytes(32)),
        check58("06a19f", bytes(20)),
        check58("04822b", bytes(64)),
    )
    edsk = check58("0d0f3a07", bytes(32))
    table = [
        (PublicKey.parse, tz1, "this is a hash, not a public key"),
        (PublicKey.parse, edsk, "this is a secret key, not a public key"),
        (PublicKeyHash.parse, edpk, "this is a public key, not a public key hash"),
        (PublicKeyHash.parse, check58("575200", bytes(4)), "this is a chain id, not a public key hash"),
        (Signature.parse, edpk, "this is a public key, not a signature"),
        (PublicKey.parse, edsig, "this is a signature, not a public key"),
    ]
    for parse, foreign, words in table:
        with pytest.raises(MalformedError) as caught:
            parse(foreign)
        assert str(caught.value) == words


def test_lengths_are_checked_when_a_value_is_made() -> None:
    with pytest.raises(MalformedError, match=r"^a public key hash is 20 bytes long, not 19$"):
        PublicKeyHash(KeyType.ED25519, bytes(19))
    with pytest.raises(MalformedError, match=r"^a public key of the family BLS is 48 bytes long, not 96$"):
        PublicKey(KeyType.BLS, bytes(96))
    with pytest.raises(MalformedError, match=r"^a signature of the family BLS is 96 bytes long, not 64$"):
        Signature(KeyType.BLS, bytes(64))
    with pytest.raises(MalformedError, match=r"^a signature of the family unnamed is 64 bytes long, not 96$"):
        Signature(None, bytes(96))


def test_values_are_hashable_and_equal_by_content() -> None:
    first, second = PublicKey(KeyType.P256, bytes(33)), PublicKey(KeyType.P256, bytes(33))
    assert first.id == second.id
    assert {first} == {second}


@settings(deadline=None)
@given(sampled_from([PublicKey, PublicKeyHash, Signature]), text(max_size=100) | binary(max_size=80).map(str))
def test_any_text_is_a_value_or_malformed(
    kind: type[PublicKey | PublicKeyHash | Signature], given_text: str
) -> None:
    try:
        value = kind.parse(given_text)
    except MalformedError:
        return
    assert value.text == given_text


@settings(deadline=None)
@given(sampled_from([1952, 2592, 3309, 4627]), binary(min_size=1, max_size=9))
def test_any_text_of_a_base64_length_is_a_value_or_malformed(size: int, seed: bytes) -> None:
    given_text = (seed * size).decode("latin-1")[: -(-size // 3) * 4].ljust(-(-size // 3) * 4, "A")
    for kind in (PublicKey, Signature):
        try:
            value = kind.parse(given_text)
        except MalformedError:
            continue
        assert value.text == given_text
