"""Sealed records against a second writing of the format; nothing opens that was changed."""

import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cbor2
import pytest
import sealed_by_hand as by_hand
from Crypto.Cipher import AES
from sealed_by_hand import DATA_KEY, ENVELOPE, HEADER, KEY_ID, NONCE, PUBLIC, SECRET, TENANT

from signatory.crypto.curves import LENGTHS, WIRE_NAMES, KeyType, Purpose
from signatory.errors import IntegrityError
from signatory.nitro import sealed
from signatory.nitro.arn import Arn
from signatory.nitro.sealed import KeyName, Record, Scheme

NAME = KeyName(KEY_ID, KeyType.ED25519, Purpose.TEZOS, PUBLIC)
ARN = Arn.parse(by_hand.ARN)
DOES_NOT_OPEN = r"^the sealed record does not open: it was changed, or belongs to another data key$"

headers = pytest.mark.parametrize("header", [HEADER, TENANT, ENVELOPE], ids=["gdk", "tenant", "envelope"])


def closed(header: dict[int, Any]) -> Record:
    """The record of that header, made here."""
    name = replace(NAME, user_id=header.get(8))
    return sealed.close(
        Scheme(header[2]), name, ARN, header[10], header[11], data_key=DATA_KEY, nonce=NONCE, secret=SECRET
    )


@headers
def test_a_record_is_the_bytes_of_the_second_writing(header: dict[int, Any]) -> None:
    assert sealed.encode(closed(header)) == cbor2.dumps(by_hand.sealed(header))


@headers
def test_a_record_made_here_opens_elsewhere(header: dict[int, Any]) -> None:
    assert by_hand.opened(sealed.encode(closed(header))) == SECRET


@headers
def test_a_record_made_elsewhere_opens_here(header: dict[int, Any]) -> None:
    record = sealed.decode(cbor2.dumps(by_hand.sealed(header)))
    assert record == closed(header)
    assert sealed.open_record(record, DATA_KEY) == SECRET


def test_a_record_is_these_bytes() -> None:
    head = (
        "ad 01 78197369676e61746f72792d7661756c742f7365616c65642f7631 02 6a6b6d732d67646b2d7631 03 01"
        "04 6745643235353139 05 6574657a6f73 06 5820" + "0a" * 32 + "07 7824" + KEY_ID.encode().hex()
    )
    rest = (
        "09 784b" + by_hand.ARN.encode().hex() + "0a 7824" + KEY_ID.encode().hex() + "0b 50"
        "7772617070656420646174 61206b6579 0c 4c 000102030405060708090a0b 0d 5820"
    )
    assert sealed.encode(closed(HEADER)).startswith(bytes.fromhex(head + rest))


@pytest.mark.parametrize("key_type", list(KeyType))
@pytest.mark.parametrize("purpose", list(Purpose))
def test_every_family_and_purpose_fits_a_record(key_type: KeyType, purpose: Purpose) -> None:
    lengths = LENGTHS[key_type]
    header = {**TENANT, 4: WIRE_NAMES[key_type], 5: purpose.value, 6: bytes(lengths.public), 3: 2**32 - 1}
    secret = bytes(lengths.expanded or lengths.secret)
    record = sealed.decode(cbor2.dumps(by_hand.sealed(header, secret=secret)))
    expected = KeyName(KEY_ID, key_type, purpose, bytes(lengths.public), 2**32 - 1, "tenant-1")
    assert record.name == expected
    assert sealed.open_record(record, DATA_KEY) == secret


@pytest.mark.parametrize(
    ("header", "context"),
    [
        (HEADER, {"key_id": KEY_ID}),
        (TENANT, {"user_id": "tenant-1"}),
        (ENVELOPE, {"key_id": "envelope:" + "0123456789abcdef" * 2}),
        (dict(sorted({**ENVELOPE, 8: "tenant-1"}.items())), {"user_id": "tenant-1"}),
    ],
    ids=["gdk", "tenant", "envelope", "envelope of a tenant"],
)
def test_the_context_names_the_tenant_or_the_key_and_nothing_more(
    header: dict[int, Any], context: dict[str, str]
) -> None:
    assert dict(sealed.decode(cbor2.dumps(by_hand.sealed(header))).context) == context


@headers
def test_no_record_opens_with_another_data_key(header: dict[int, Any]) -> None:
    record = closed(header)
    for at in range(32):
        other = DATA_KEY[:at] + bytes([DATA_KEY[at] ^ 0x80]) + DATA_KEY[at + 1 :]
        with pytest.raises(IntegrityError, match=DOES_NOT_OPEN):
            sealed.open_record(record, other)


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_data_key_of_another_length_opens_and_seals_nothing(size: int) -> None:
    with pytest.raises(IntegrityError, match=r"^a data key has 32 bytes, this one has another length$"):
        sealed.open_record(closed(HEADER), bytes(size))


def test_a_record_is_committed_to_its_data_key_even_where_gcm_is_content() -> None:
    """Who knows a second data key forges the tag that it wants, but not the commitment of the first."""
    record = closed(HEADER)
    other = b"\x0e" * 32
    key, _ = by_hand.derived(other, HEADER)
    cipher = AES.new(key, AES.MODE_GCM, nonce=NONCE).update(cbor2.dumps(HEADER))
    ciphertext, tag = cipher.encrypt_and_digest(b"\x22" * 32)
    forged = replace(record, ciphertext=ciphertext + tag)
    for data_key in (other, DATA_KEY):
        with pytest.raises(IntegrityError, match=DOES_NOT_OPEN):
            sealed.open_record(forged, data_key)


CHANGES: list[Callable[[Record], Record]] = [
    lambda record: replace(record, scheme=Scheme.KMS_ENVELOPE),
    lambda record: replace(record, name=replace(record.name, key_id="tz1other")),
    lambda record: replace(record, name=replace(record.name, key_type=KeyType.P256)),
    lambda record: replace(record, name=replace(record.name, purpose=Purpose.RAW)),
    lambda record: replace(record, name=replace(record.name, purpose=Purpose.CHECKPOINT)),
    lambda record: replace(record, name=replace(record.name, public=b"\x0b" * 32)),
    lambda record: replace(record, name=replace(record.name, version=2)),
    lambda record: replace(record, name=replace(record.name, user_id="tenant-2")),
    lambda record: replace(record, name=replace(record.name, user_id=None)),
    lambda record: replace(record, kms_key=replace(record.kms_key, region="us-east-1")),
    lambda record: replace(record, kms_key=replace(record.kms_key, account="999999999999")),
    lambda record: replace(record, data_key_id="tz1other"),
    lambda record: replace(record, wrapped=b"another data key"),
    lambda record: replace(record, nonce=bytes(12)),
    lambda record: replace(record, commitment=bytes(32)),
    lambda record: replace(record, commitment=record.commitment[:-1]),
    lambda record: replace(record, ciphertext=record.ciphertext[:-1]),
    lambda record: replace(record, ciphertext=record.ciphertext[:-17] + record.ciphertext[-16:]),
    lambda record: replace(record, ciphertext=b""),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_record_with_any_part_changed_does_not_open(change: Callable[[Record], Record]) -> None:
    with pytest.raises(IntegrityError, match=DOES_NOT_OPEN):
        sealed.open_record(change(closed(TENANT)), DATA_KEY)


def test_parts_of_two_records_under_one_data_key_do_not_fit_together() -> None:
    first, second = closed(ENVELOPE), closed({**ENVELOPE, 11: b"wrapped as well"})
    for name in ("nonce", "commitment", "ciphertext", "wrapped"):
        mixed = replace(first, **{name: getattr(second, name)})
        if mixed != first:
            with pytest.raises(IntegrityError, match=DOES_NOT_OPEN):
                sealed.open_record(mixed, DATA_KEY)


def test_a_record_that_is_the_named_one_passes() -> None:
    sealed.check(closed(TENANT), replace(NAME, user_id="tenant-1"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key_id", "tz1other"),
        ("key_type", KeyType.P256),
        ("purpose", Purpose.RAW),
        ("public", b"\x0b" * 32),
        ("version", 2),
        ("user_id", None),
        ("user_id", "tenant-2"),
    ],
)
def test_a_record_that_is_not_the_named_one_is_a_substitution(field: str, value: Any) -> None:
    name = replace(replace(NAME, user_id="tenant-1"), **{field: value})
    words = rf"^substitution: the sealed record is of another key \({field}\)$"
    with pytest.raises(IntegrityError, match=words):
        sealed.check(closed(TENANT), name)


def test_nothing_of_a_secret_shows_in_a_repr_or_a_traceback() -> None:
    record = closed(HEADER)
    with pytest.raises(IntegrityError) as caught:
        sealed.open_record(record, bytes(32))
    shown = repr(record) + "".join(traceback.format_exception(caught.value))
    for dear in (SECRET, DATA_KEY, record.ciphertext):
        assert repr(dear)[2:-1] not in shown
        assert dear.hex() not in shown


@pytest.mark.parametrize("text", ["a", "x" * 256, "Az09._:@/+=-", "user@example.com"])
def test_a_user_id_comes_back_as_it_is(text: str) -> None:
    assert sealed.check_user_id(text) == text
