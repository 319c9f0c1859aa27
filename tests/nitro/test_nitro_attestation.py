"""Attestation documents: genuine ones hold at their own time, and every change to one is refused."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from nitro_chain import CHAIN, IMAGE, NOW, a_document, a_payload, enveloped, signed, verify

from signatory.errors import MalformedError
from signatory.nitro import attestation, cose
from signatory.nitro.attestation import AttestationError

VECTORS = Path(__file__).parents[2] / "../shared/vectors/attestation"
INDEX = json.loads((VECTORS / "index.json").read_text()) if VECTORS.exists() else []
GOOD = [entry for entry in INDEX if entry["ok"]]
BAD = [entry for entry in INDEX if not entry["ok"]]
needs_vectors = pytest.mark.skipif(not INDEX, reason="the shared vectors are not here")


@needs_vectors
def test_the_pinned_root_is_that_of_aws() -> None:
    pem = (VECTORS / "aws_nitro_root.pem").read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    assert hashlib.sha256(der).digest() == attestation.AWS_ROOT_SHA256


@needs_vectors
@pytest.mark.parametrize("entry", GOOD, ids=lambda entry: entry["file"])
def test_genuine_documents_verify_at_their_own_time_and_say_what_they_say(entry: dict[str, Any]) -> None:
    data = (VECTORS / entry["file"]).read_bytes()
    document = attestation.verify(data, allow_debug=entry["debug"])
    assert document.timestamp_ms == entry["timestamp_ms"]
    assert document.module_id == entry["module_id"]
    assert document.debug is entry["debug"]
    set_pcrs = {str(index): value.hex() for index, value in document.pcrs.items() if any(value)}
    assert set_pcrs == entry["pcrs"]
    for field in ("public_key", "user_data", "nonce"):
        value = getattr(document, field)
        assert (value.hex() if value else None) == entry[field]


@needs_vectors
@pytest.mark.parametrize("entry", GOOD, ids=lambda entry: entry["file"])
def test_genuine_documents_hold_in_their_leafs_hours_and_not_a_second_longer(entry: dict[str, Any]) -> None:
    data = (VECTORS / entry["file"]).read_bytes()
    first, last = (datetime.fromtimestamp(second, UTC) for second in entry["all_valid"])
    for at in (first, last):
        attestation.verify(data, at=at, allow_debug=True)
    for at, words in (
        (first - timedelta(seconds=1), "is valid only from"),
        (last + timedelta(seconds=1), "expired"),
    ):
        with pytest.raises(AttestationError, match=words):
            attestation.verify(data, at=at, allow_debug=True)


@needs_vectors
@pytest.mark.parametrize(
    "entry", [entry for entry in GOOD if entry["debug"]], ids=lambda entry: entry["file"]
)
def test_genuine_debug_documents_are_refused_unless_allowed(entry: dict[str, Any]) -> None:
    with pytest.raises(AttestationError, match="debug") as caught:
        attestation.verify((VECTORS / entry["file"]).read_bytes())
    assert caught.value.field == "PCR0"


@needs_vectors
@pytest.mark.parametrize("entry", BAD, ids=lambda entry: entry["file"])
def test_broken_documents_fail(entry: dict[str, Any]) -> None:
    with pytest.raises((AttestationError, MalformedError)):
        attestation.verify((VECTORS / entry["file"]).read_bytes(), allow_debug=True)


def test_a_document_of_our_own_verifies_against_our_root_and_not_against_that_of_aws() -> None:
    assert verify(signed(), at=NOW, pcrs=IMAGE) == a_document()
    with pytest.raises(AttestationError) as caught:
        attestation.verify(signed(), at=NOW, pcrs=IMAGE)
    assert caught.value.field == "cabundle[0]"


def test_sign1_is_what_cbor2_and_cryptography_make_of_it() -> None:
    data = cose.sign1(b"payload", CHAIN.leaf)
    protected, unprotected, payload, signature = cbor2.loads(data)
    assert (protected, unprotected, payload) == (bytes.fromhex("a1013822"), {}, b"payload")
    der = utils.encode_dss_signature(
        int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
    )
    structure = cbor2.dumps(["Signature1", protected, b"", payload])
    CHAIN.leaf.public_key().verify(der, structure, ec.ECDSA(SHA384()))
    assert cose.sign1(b"payload", CHAIN.leaf, tagged=True)[:1] == b"\xd2"


def test_tagged_and_untagged_definite_and_indefinite_are_all_read() -> None:
    payload = attestation.encode_payload(a_document())
    opened = b"\xbf" + payload[1:] + b"\xff"
    for each in (payload, opened):
        assert verify(enveloped(each)) == a_document()
        assert verify(b"\xd2" + enveloped(each)) == a_document()


def test_absent_fields_may_be_null_or_not_there() -> None:
    payload = {name: value for name, value in a_payload().items() if value is not None}
    assert "nonce" not in payload
    assert verify(enveloped(cbor2.dumps(payload))).nonce is None
    assert a_payload()["nonce"] is None
    assert verify(signed()).nonce is None


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"", "CBOR"),
        (b"\xd2", "CBOR"),
        (b"\x80", "array"),
        (b"\xa0", "array"),
        (signed() + b"\0", "after the item"),
        (b"\xd2\xd2" + signed(), "tag"),
        (b"\xd1" + signed(), "tag"),
        (b"\x98\x04" + signed()[1:], "shortest"),
        (b"\x9f" + signed()[1:] + b"\xff", "indefinite"),
        (enveloped(b"\xa0", protected=bytes.fromhex("a10126")), "protected"),
        (enveloped(b"\xa0", protected=b""), "protected"),
        (enveloped(b"\xa0", protected=bytes.fromhex("a201382204 40".replace(" ", ""))), "protected"),
        (cbor2.dumps([cose.PROTECTED, {4: b""}, b"\xa0", bytes(96)]), "unprotected"),
        (cbor2.dumps([cose.PROTECTED, {}, b"\xa0", bytes(95)]), "95"),
        (cbor2.dumps([cose.PROTECTED, {}, None, bytes(96)]), "array"),
        (bytes(40000), "40000"),
    ],
)
def test_another_envelope_is_malformed(data: bytes, part: str) -> None:
    with pytest.raises(MalformedError, match=part):
        attestation.parse(data)


def test_a_signature_by_another_key_or_over_another_payload_is_refused() -> None:
    other = ec.generate_private_key(ec.SECP384R1())
    forged = cose.sign1(attestation.encode_payload(a_document()), other)
    elsewhere = cbor2.loads(signed(nonce=b"1"))
    elsewhere[2] = attestation.encode_payload(a_document(nonce=b"2"))
    zero = cbor2.loads(signed())
    zero[3] = bytes(96)
    for data in (forged, cbor2.dumps(elsewhere), cbor2.dumps(zero)):
        with pytest.raises(AttestationError) as caught:
            verify(data)
        assert caught.value.field == "signature"


def test_only_p384_signs() -> None:
    with pytest.raises(MalformedError, match="P-384"):
        cose.sign1(b"", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(MalformedError, match="P-384"):
        cose.verify1(cose.Sign1(b"", bytes(96)), ec.generate_private_key(ec.SECP256R1()).public_key())


@given(data=st.binary(max_size=200))
def test_any_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        attestation.parse(data)


@given(data=st.data())
def test_any_payload_is_a_document_or_malformed(data: st.DataObject) -> None:
    payload = a_payload()
    names = data.draw(st.lists(st.sampled_from(sorted(payload)), min_size=1, max_size=3))
    odd: st.SearchStrategy[Any] = st.none() | st.integers() | st.text(max_size=3) | st.binary(max_size=3)
    odd = (
        odd
        | st.lists(odd, max_size=2)
        | st.dictionaries(st.integers(0, 40) | st.text(max_size=2), odd, max_size=2)
    )
    for name in names:
        payload[name] = data.draw(odd)
    try:
        attestation.parse(enveloped(cbor2.dumps(payload)))
    except MalformedError:
        return
