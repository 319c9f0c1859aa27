"""Birth certificates: what is proved, and that every single thing that differs is refused and named."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from nitro_births import MANIFEST, NOW_MS, SIGNED, STATEMENT, certified, changed
from nitro_chain import CHAIN, NOW, a_chain

from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import ConfigError, MalformedError, SignatoryError
from signatory.nitro import birth, birth_verify, manifest
from signatory.nitro.arn import Arn
from signatory.nitro.attestation import AWS_ROOT_SHA256, AttestationError
from signatory.nitro.birth import Origin, Statement
from signatory.nitro.birth_verify import Birth, BirthError
from signatory.nitro.sealed import Scheme

METADATA = birth_verify.metadata_of(STATEMENT)
CERTIFICATE = certified()


def releases(**more: Any) -> manifest.Manifest:
    return manifest.load(json.dumps({**MANIFEST, **more}).encode())


def verify(
    metadata: Mapping[str, Any] = METADATA,
    attestation: bytes = CERTIFICATE.attestation,
    among: manifest.Manifest | None = None,
    **more: Any,
) -> Birth:
    return birth_verify.verify(
        attestation, metadata, among or releases(), **{"root_sha256": CHAIN.root, **more}
    )


def test_a_right_certificate_proves_the_key_its_release_and_its_root() -> None:
    for statement in (None, CERTIFICATE.statement):
        found = verify(statement=statement)
        assert found.statement == STATEMENT
        assert found.born_inside
        assert found.root_sha256 == CHAIN.root
        assert found.image.version == "1.2.3"
        assert found.image.pcrs == {index: SIGNED[index] for index in (0, 1, 2, 8)}
        assert found.document.user_data == hashlib.sha256(CERTIFICATE.statement).digest()


def test_metadata_as_they_come_from_the_store_in_json_verify() -> None:
    assert verify(json.loads(json.dumps(METADATA))).statement == STATEMENT


def test_an_imported_key_is_proved_and_not_called_born_inside() -> None:
    imported = changed(origin=Origin.IMPORTED)
    found = verify(birth_verify.metadata_of(imported), certified(imported).attestation)
    assert not found.born_inside
    with pytest.raises(AttestationError) as caught:
        verify({**METADATA, "origin": "generated"}, certified(imported).attestation)
    assert caught.value.field == "user_data"


OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("alg", {"key_type": KeyType.P256, "public": b"\2" + STATEMENT.public}),
    ("public_key", {"public": bytes(32)}),
    ("wrapped_dk", {"wrapped": b"another"}),
    ("kms_key_arn", {"kms_key": Arn.parse(str(STATEMENT.kms_key).replace("4567890ab", "4567890ac"))}),
    ("created_at", {"created_at": STATEMENT.created_at + 1}),
    ("wrap", {"wrap": Scheme.KMS_ENVELOPE}),
    ("origin", {"origin": Origin.IMPORTED}),
    ("purpose", {"purpose": Purpose.RAW}),
    ("user_id", {"user_id": "user-0002"}),
    ("user_id", {"user_id": None}),
    ("prev", {"prev": bytes(32)}),
    ("prev", {"prev": None}),
    ("release", {"release": "1.2.4"}),
    ("release", {"release": None}),
    ("version", {"version": 1}),
]


@pytest.mark.parametrize(("field", "changes"), OTHERS)
def test_metadata_that_differ_in_one_field_are_refused_and_the_statement_names_it(
    field: str, changes: dict[str, Any]
) -> None:
    other = changed(**changes)
    metadata = birth_verify.metadata_of(other)
    with pytest.raises(BirthError) as caught:
        verify(metadata, statement=CERTIFICATE.statement)
    assert caught.value.field == field
    with pytest.raises(SignatoryError) as refused:
        verify(metadata)
    assert "user_data" in str(refused.value) or "public_key" in str(refused.value)
    with pytest.raises(AttestationError) as replayed:
        verify({**METADATA}, certified(other).attestation)
    assert replayed.value.field == "user_data"


def test_a_statement_in_another_form_or_of_other_bytes_is_malformed() -> None:
    for statement in (CERTIFICATE.statement + b"\0", b"\xbf" + CERTIFICATE.statement[1:] + b"\xff", b""):
        with pytest.raises(MalformedError, match="birth statement"):
            verify(statement=statement)


def test_a_key_that_is_no_point_is_refused_though_it_was_certified() -> None:
    odd = changed(key_type=KeyType.SECP256K1, public=b"\2" + b"\xff" * 32)
    with pytest.raises(BirthError) as caught:
        verify(birth_verify.metadata_of(odd), certified(odd).attestation)
    assert caught.value.field == "public_key"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"user_data": bytes(32)}, "user_data"),
        ({"user_data": None}, "user_data"),
        ({"user_data": hashlib.sha256(CERTIFICATE.statement).digest() + b"\0"}, "user_data"),
        ({"user_data": CERTIFICATE.statement}, "user_data"),
        ({"public_key": b"k"}, "public_key"),
        ({"pcrs": {**SIGNED, 0: b"\x77" * 48}}, "PCR0"),
        ({"pcrs": {**SIGNED, 1: b"\x77" * 48}}, "PCR1"),
        ({"pcrs": {**SIGNED, 2: b"\x77" * 48}}, "PCR2"),
        ({"pcrs": {**SIGNED, 8: b"\x77" * 48}}, "PCR8"),
        ({"pcrs": {**SIGNED, 8: bytes(48)}}, "PCR8"),
        ({"pcrs": {**SIGNED, 0: bytes(48), 1: bytes(48), 2: bytes(48), 8: bytes(48)}}, "PCR0"),
        ({"pcrs": {index: SIGNED[index] for index in (0, 1, 8)}}, "PCR2"),
    ],
)
def test_a_document_that_is_not_of_this_birth_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(AttestationError) as caught:
        verify(attestation=certified(**changes).attestation)
    assert caught.value.field == field


def test_a_document_of_a_debug_enclave_says_so() -> None:
    with pytest.raises(AttestationError, match="a debug enclave"):
        verify(attestation=certified(pcrs={4: b"\1" * 48}).attestation)


def test_nothing_but_the_pinned_root_is_taken_and_that_of_aws_unless_told() -> None:
    for root in (None, AWS_ROOT_SHA256, a_chain().root):
        with pytest.raises(AttestationError) as caught:
            verify(root_sha256=root)
        assert caught.value.field == "cabundle[0]"
    named = releases(root_sha256=CHAIN.root.hex())
    assert verify(among=named, root_sha256=None).root_sha256 == CHAIN.root
    with pytest.raises(ConfigError, match="another root"):
        verify(among=named, root_sha256=AWS_ROOT_SHA256)


def test_a_challenge_is_compared_where_one_was_recorded() -> None:
    data = certified(nonce=b"challenge").attestation
    assert verify(attestation=data).document.nonce == b"challenge"
    assert verify(attestation=data, nonce=b"challenge").born_inside
    for attestation, nonce in ((data, b"other"), (CERTIFICATE.attestation, b"challenge")):
        with pytest.raises(AttestationError) as caught:
            verify(attestation=attestation, nonce=nonce)
        assert caught.value.field == "nonce"


@pytest.mark.parametrize("off", [-300_000, 300_000])
def test_the_enclaves_clock_may_be_five_minutes_off_and_not_a_millisecond_more(off: int) -> None:
    def born(created_at: int) -> Birth:
        statement = changed(created_at=created_at)
        return verify(birth_verify.metadata_of(statement), certified(statement).attestation)

    assert born(NOW_MS + off).born_inside
    for created_at in (NOW_MS + off + (1 if off > 0 else -1), 1, 2**53 - 1):
        with pytest.raises(BirthError) as caught:
            born(created_at)
        assert caught.value.field == "created_at"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"not_before": NOW_MS + 1}, "not_before"),
        ({"not_before": NOW_MS - 999}, "created_at"),
        ({"revoked": NOW_MS}, "revoked"),
        ({"revoked": True}, "revoked"),
        ({"partition": "aws-cn", "root_sha256": CHAIN.root.hex()}, "kms_key_arn"),
    ],
)
def test_a_release_that_was_not_good_at_the_time_is_refused(more: dict[str, Any], field: str) -> None:
    with pytest.raises((AttestationError, BirthError)) as caught:
        verify(among=releases(**more))
    assert caught.value.field == field


def test_a_release_called_back_later_leaves_earlier_births_alone() -> None:
    assert verify(among=releases(revoked=NOW_MS + 1, not_before=NOW_MS - 1000)).document.time == NOW


@pytest.mark.parametrize("statement", [STATEMENT, changed(user_id=None, prev=None, release=None, version=1)])
def test_metadata_make_the_statement_they_are_made_of(statement: Statement) -> None:
    metadata = birth_verify.metadata_of(statement)
    assert birth.encode(birth_verify.statement_of(metadata)) == birth.encode(statement)
    absent = {name: value for name, value in metadata.items() if value is not None}
    assert birth_verify.statement_of(absent) == statement
    assert base64.b64decode(metadata["wrapped_dk"]) == statement.wrapped
