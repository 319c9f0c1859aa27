"""Documents that a clever parent might send: each is refused, and the error names what is wrong."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from nitro_chain import (
    CHAIN,
    IMAGE,
    LEAF,
    NOW,
    PCRS,
    RIGHT,
    Link,
    a_chain,
    a_document,
    a_payload,
    enveloped,
    signed,
    verify,
)

from signatory.errors import ConfigError, MalformedError
from signatory.nitro import attestation
from signatory.nitro.attestation import AttestationError, ExpiredError


@pytest.mark.parametrize(
    ("protected", "what"),
    [
        ("a10126", "ES256"),
        ("a1013823", "ES512"),
        ("a10100", "the algorithm 0"),
        ("a0", "no algorithm"),
        ("a101f6", "null as the algorithm"),
        ("a101654553333834", "the algorithm as a text"),
        ("a101390022", "ES384 in a longer form"),
        ("bf013822ff", "ES384 in a map without a length"),
        ("a2013822044100", "a key id beside it"),
        ("a2013822013822", "the algorithm twice"),
        ("a1013822a0", "something after the map"),
    ],
)
def test_a_header_that_is_not_that_of_es384_is_refused_though_the_signature_is_right(
    protected: str, what: str
) -> None:
    payload = attestation.encode_payload(a_document())
    with pytest.raises(MalformedError, match="protected header"):
        verify(enveloped(payload, protected=bytes.fromhex(protected)))


def test_a_document_signed_with_es256_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    payload = attestation.encode_payload(a_document())
    structure = cbor2.dumps(["Signature1", bytes.fromhex("a10126"), b"", payload])
    r, s = utils.decode_dss_signature(key.sign(structure, ec.ECDSA(SHA256())))
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    for protected in ("a10126", "a1013822"):
        with pytest.raises(MalformedError, match=r"protected header|64 bytes"):
            verify(cbor2.dumps([bytes.fromhex(protected), {}, payload, raw]))


def test_a_leaf_of_another_curve_is_refused() -> None:
    chain = a_chain([*RIGHT[:-1], replace(LEAF, curve=ec.SECP256R1)])
    data = enveloped(attestation.encode_payload(a_document(chain)))
    with pytest.raises(AttestationError, match="P-384") as caught:
        verify(data, chain)
    assert caught.value.field == "certificate"


def _replaced(old: str, new: str) -> bytes:
    """A document with this in its payload instead of that, which is there once; signed."""
    payload = attestation.encode_payload(a_document(pcrs={0: b"\1" * 48, 1: b"\2" * 48, 2: b"\3" * 48}))
    assert payload.count(bytes.fromhex(old)) == 1
    return enveloped(payload.replace(bytes.fromhex(old), bytes.fromhex(new)))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("0058300101", "180058300101", "a register's number in two bytes"),
        ("0058300101", "005900300101", "a register's length in three bytes"),
        ("66646967657374", "7806646967657374", "a name's length in two bytes"),
        ("a3005830", "b803005830", "a map's size in two bytes"),
        ("a3005830", "bb0000000000000003005830", "a map's size in nine bytes"),
    ],
)
def test_a_payload_that_is_not_in_its_shortest_form_is_refused(old: str, new: str, what: str) -> None:
    with pytest.raises(MalformedError, match="shortest"):
        verify(_replaced(old, new))


def test_a_register_twice_in_two_forms_is_refused() -> None:
    with pytest.raises(MalformedError, match=r"[Dd]uplicate|twice"):
        verify(_replaced("a3005830" + "01" * 48, "a4005830" + "01" * 48 + "18005830" + "09" * 48))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("0258300303", "025f58300303", "a register in pieces, without an end"),
        ("66534841333834", "7f66534841333834ff", "the digest in pieces"),
        ("a3005830", "bf005830", "the registers without a length"),
    ],
)
def test_inside_the_payload_nothing_is_without_a_length(old: str, new: str, what: str) -> None:
    with pytest.raises(MalformedError, match="CBOR"):
        verify(_replaced(old, new))


def test_a_root_of_the_same_name_made_by_somebody_else_is_refused() -> None:
    impostor = a_chain()
    with pytest.raises(AttestationError) as caught:
        verify(signed(impostor), CHAIN, at=NOW)
    assert caught.value.field == "cabundle[0]"


def test_a_ca_as_leaf_and_a_leaf_as_ca_are_refused() -> None:
    root = CHAIN.certificates[0]
    with pytest.raises(AttestationError, match="certificate: is a CA"):
        verify(signed(cabundle=(root,), certificate=root))
    below = a_chain([Link(), Link(), LEAF, LEAF])
    with pytest.raises(AttestationError, match=r"cabundle\[2\]: is not a CA"):
        verify(signed(below), below)


@pytest.mark.parametrize("missing", [0, 1, 2, 8])
def test_a_register_that_is_expected_and_not_there_is_named(missing: int) -> None:
    pcrs = {**PCRS, 8: b"\x18" * 48}
    data = signed(pcrs={index: value for index, value in pcrs.items() if index != missing})
    with pytest.raises(AttestationError) as caught:
        verify(data, pcrs={**IMAGE, 8: pcrs[8]}, allow_debug=True)
    assert caught.value.field == f"PCR{missing}"


def test_a_zero_pcr8_is_an_unsigned_image_and_refused_where_pcr8_is_pinned() -> None:
    assert verify(signed(), pcrs=IMAGE).pcrs[8] == bytes(48)
    with pytest.raises(AttestationError, match="PCR8: zero is of no allowed image") as caught:
        verify(signed(), pcrs={**IMAGE, 8: b"\x18" * 48})
    assert caught.value.field == "PCR8"
    with pytest.raises(ConfigError, match="PCR8"):
        verify(signed(), pcrs={**IMAGE, 8: bytes(48)})


def test_a_certificate_that_ran_out_is_its_own_kind_of_error() -> None:
    with pytest.raises(ExpiredError, match="expired at"):
        verify(signed(), at=NOW + timedelta(hours=2))
    with pytest.raises(AttestationError, match="valid only from") as caught:
        verify(signed(), at=NOW - timedelta(hours=2))
    assert not isinstance(caught.value, ExpiredError)


def test_a_document_that_says_another_time_than_its_certificates_is_refused_at_its_own() -> None:
    for hours in (-2, 2):
        moved = int((NOW + timedelta(hours=hours)).timestamp() * 1000)
        with pytest.raises(AttestationError, match=r"expired|valid only"):
            verify(signed(timestamp_ms=moved))


@pytest.mark.parametrize("name", ["module_id", "pcrs", "timestamp", "cabundle"])
def test_a_field_twice_is_refused(name: str) -> None:
    payload = a_payload()
    entries = [cbor2.dumps(key) + cbor2.dumps(value) for key, value in payload.items()]
    entries.append(cbor2.dumps(name) + cbor2.dumps(payload[name]))
    for data in (b"\xaa" + b"".join(entries), b"\xbf" + b"".join(entries) + b"\xff"):
        with pytest.raises(MalformedError, match=r"[Dd]uplicate|twice"):
            verify(enveloped(data))


def test_bytes_after_the_payload_and_after_the_document_are_refused() -> None:
    payload: Any = attestation.encode_payload(a_document())
    for data in (enveloped(payload + b"\0"), signed() + b"\0", signed() + signed()):
        with pytest.raises(MalformedError, match="after the item"):
            verify(data)
