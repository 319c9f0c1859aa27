"""What is no sealed record: refused with the field's name, whatever the bytes."""

from typing import Any

import cbor2
import pytest
import sealed_by_hand as by_hand
from hypothesis import given
from hypothesis import strategies as st
from sealed_by_hand import DATA_KEY, ENVELOPE, HEADER, KEY_ID, TENANT

from signatory.errors import IntegrityError, MalformedError
from signatory.nitro import sealed

GOOD = by_hand.sealed(TENANT)
BODY = cbor2.dumps(GOOD)


def said(body: bytes) -> str:
    with pytest.raises(MalformedError) as caught:
        sealed.decode(body)
    assert caught.value.message.startswith("sealed record: ")
    return caught.value.message.removeprefix("sealed record: ")


FIELDS: list[tuple[int, Any, str]] = [
    (1, "signatory-vault/birth/v1", "type"),
    (1, None, "type"),
    (2, "kms-encrypt-v0", "scheme"),
    (2, "kms-gdk-v2", "scheme"),
    (2, 1, "scheme"),
    (3, 0, "version"),
    (3, 2**32, "version"),
    (3, True, "version"),
    (3, "1", "version"),
    (4, "Ed448", "alg"),
    (4, "ed25519", "alg"),
    (5, "anything", "purpose"),
    (5, ["tezos"], "purpose"),
    (6, bytes(31), "public_key"),
    (6, bytes(33), "public_key"),
    (6, "text", "public_key"),
    (7, "", "key_id"),
    (7, "x" * 65, "key_id"),
    (7, "tz1 2", "key_id"),
    (7, b"tz1", "key_id"),
    (8, "", "user_id"),
    (8, "x" * 257, "user_id"),
    (8, "two words", "user_id"),
    (8, "tenant\n", "user_id"),
    (8, "t\u00e9nant", "user_id"),
    (8, None, "user_id"),
    (9, by_hand.ARN.replace("us-west-2", "us-east-1.evil"), "is not the ARN"),
    (9, "alias/mine", "is not the ARN"),
    (9, 1, "kms_key_arn"),
    (10, "tz1other", "data_key_id"),
    (10, "envelope:" + "0" * 32, "data_key_id"),
    (11, b"", "wrapped"),
    (11, bytes(6145), "wrapped"),
    (11, "text", "wrapped"),
    (12, bytes(11), "nonce"),
    (12, bytes(13), "nonce"),
    (13, bytes(31), "commitment"),
    (13, bytes(33), "commitment"),
    (14, bytes(16), "ciphertext"),
    (14, bytes(8193), "ciphertext"),
    (14, None, "ciphertext"),
]


@pytest.mark.parametrize(("number", "value", "word"), FIELDS)
def test_a_field_of_another_kind_or_size_is_refused_by_name(number: int, value: Any, word: str) -> None:
    assert word in said(cbor2.dumps({**GOOD, number: value}))


@pytest.mark.parametrize("number", sorted(set(GOOD) - {8}))
def test_a_record_without_a_field_is_refused(number: int) -> None:
    said(cbor2.dumps({each: value for each, value in GOOD.items() if each != number}))


@pytest.mark.parametrize("key", [0, 15, -1, "1", 2**64 - 1])
def test_a_field_that_is_unknown_is_refused(key: Any) -> None:
    assert said(cbor2.dumps({**GOOD, key: 1})) == f"the field {key} is unknown"


@pytest.mark.parametrize("data_key_id", ["envelope:", KEY_ID, "envelope:" + "A" * 32, "envelope:" + "0" * 33])
def test_an_envelope_names_its_data_key_in_one_form(data_key_id: str) -> None:
    assert "data_key_id" in said(cbor2.dumps(by_hand.sealed({**ENVELOPE, 10: data_key_id})))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        BODY[:-1],
        BODY + b"\0",
        b"\xd9\xd9\xf7" + BODY,
        b"\xbf" + BODY[1:] + b"\xff",
        cbor2.dumps(dict(reversed(GOOD.items()))),
        BODY.replace(b"\x03\x01\x04", b"\x03\x18\x01\x04", 1),
        BODY.replace(b"\x03\x01\x04", b"\x18\x03\x01\x04", 1),
        BODY.replace(b"\x03\x01\x04", b"\x03\xfb\x3f\xf0\0\0\0\0\0\0\x04", 1),
        BODY.replace(b"\x03\x01\x04", b"\x03\xc2\x41\x01\x04", 1),
        b"\xaf\x03\x01" + BODY[1:],
        cbor2.dumps(list(GOOD.values())),
        cbor2.dumps(None),
        BODY + bytes(24 * 1024),
    ],
    ids=[
        "empty",
        "cut",
        "trailing byte",
        "tag",
        "indefinite",
        "another order",
        "long number",
        "long key",
        "float",
        "bignum",
        "version twice",
        "list",
        "null",
        "too long",
    ],
)
def test_what_is_not_in_the_one_form_is_refused(body: bytes) -> None:
    said(body)


def test_the_changed_bodies_above_are_well_formed_cbor() -> None:
    assert cbor2.loads(BODY.replace(b"\x03\x01\x04", b"\x03\x18\x01\x04", 1)) == GOOD
    assert cbor2.loads(b"\xbf" + BODY[1:] + b"\xff") == GOOD


@given(body=st.binary(max_size=300))
def test_any_bytes_are_a_record_or_malformed(body: bytes) -> None:
    said(body)


@given(header=st.sampled_from([HEADER, TENANT, ENVELOPE]), data=st.data())
def test_no_change_of_a_byte_opens(header: dict[int, Any], data: st.DataObject) -> None:
    body = bytearray(cbor2.dumps(by_hand.sealed(header)))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((MalformedError, IntegrityError)):
        sealed.open_record(sealed.decode(bytes(body)), DATA_KEY)


def test_no_flip_of_a_bit_opens() -> None:
    whole = cbor2.dumps(by_hand.sealed(HEADER))
    for at in range(len(whole) * 8):
        body = bytearray(whole)
        body[at // 8] ^= 1 << at % 8
        with pytest.raises((MalformedError, IntegrityError)):
            sealed.open_record(sealed.decode(bytes(body)), DATA_KEY)


@pytest.mark.parametrize(
    "text", ["", "x" * 257, "a b", "a\n", "a\0", "\u00e9", "a{b}", "a,b", "a*", "${aws:x}"]
)
def test_a_user_id_of_other_characters_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match=r"^a user_id is 1 to 256 of the letters"):
        sealed.check_user_id(text)
