"""What an attestation document says, field by field, and what a verifier may expect of it."""

from datetime import timedelta
from typing import Any

import cbor2
import pytest
from nitro_chain import IMAGE, NOW, PCRS, a_document, a_payload, enveloped, signed, verify

from signatory.errors import ConfigError, MalformedError
from signatory.nitro import attestation
from signatory.nitro.attestation import AttestationError


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("module_id", None),
        ("module_id", ""),
        ("module_id", b"i"),
        ("module_id", "x" * 257),
        ("module_id", "\x1b[2J"),
        ("digest", "SHA256"),
        ("digest", None),
        ("timestamp", 0),
        ("timestamp", -1),
        ("timestamp", True),
        ("timestamp", "now"),
        ("timestamp", 2**64 - 1),
        ("timestamp", 1.5),
        ("pcrs", {}),
        ("pcrs", []),
        ("pcrs", {32: bytes(48)}),
        ("pcrs", {-1: bytes(48)}),
        ("pcrs", {"0": bytes(48)}),
        ("pcrs", {0: bytes(32)}),
        ("pcrs", {0: bytes(64)}),
        ("pcrs", {0: "0" * 48}),
        ("pcrs", {index: bytes(48) for index in range(33)}),
        ("certificate", b""),
        ("certificate", bytes(1025)),
        ("certificate", None),
        ("cabundle", []),
        ("cabundle", None),
        ("cabundle", [b""]),
        ("cabundle", ["x"]),
        ("cabundle", b"x"),
        ("public_key", b""),
        ("public_key", bytes(1025)),
        ("public_key", "x"),
        ("user_data", bytes(1025)),
        ("user_data", []),
        ("nonce", bytes(1025)),
        ("nonce", 1),
    ],
)
def test_a_field_that_breaks_its_rule_is_named(field: str, value: object) -> None:
    payload = a_payload() | {field: value}
    with pytest.raises(MalformedError) as caught:
        attestation.parse(enveloped(cbor2.dumps(payload)))
    assert "attestation document: " in str(caught.value)
    assert field in str(caught.value) or "floats" in str(caught.value)


def test_an_unknown_field_and_a_missing_one_are_named() -> None:
    with pytest.raises(MalformedError, match="'extra'"):
        attestation.parse(enveloped(cbor2.dumps(a_payload() | {"extra": 1})))
    payload = a_payload()
    del payload["pcrs"]
    with pytest.raises(MalformedError, match="pcrs: is missing"):
        attestation.parse(enveloped(cbor2.dumps(payload)))


def test_a_register_twice_is_malformed() -> None:
    payload = attestation.encode_payload(a_document(pcrs={0: b"\1" * 48}))
    once = b"\xa1\x00\x58\x30" + b"\1" * 48
    assert once in payload
    twice = b"\xa2" + once[1:] * 2
    with pytest.raises(MalformedError, match=r"twice|[Dd]uplicate"):
        attestation.parse(enveloped(payload.replace(once, twice)))


def test_user_data_and_nonce_go_up_to_1024_bytes_and_may_be_empty() -> None:
    for size in (0, 512, 1024):
        document = verify(signed(user_data=bytes(size), nonce=bytes(size)))
        assert (document.user_data, document.nonce) == (bytes(size), bytes(size))


def test_the_payload_has_the_order_of_the_nsm() -> None:
    order = "module_id digest timestamp pcrs certificate cabundle public_key user_data nonce"
    assert list(a_payload()) == order.split()


@pytest.mark.parametrize("field", ["nonce", "user_data", "public_key"])
def test_what_is_expected_must_be_there_exactly(field: str) -> None:
    expected: dict[str, Any] = {field: b"expected"}
    absent: dict[str, Any] = {field: None}
    data = signed(**expected)
    verify(data, **expected)
    for other in (b"other", b""):
        with pytest.raises(AttestationError) as caught:
            verify(data, **(expected | {field: other}))
        assert caught.value.field == field
    with pytest.raises(AttestationError):
        verify(signed(**absent), **expected)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_zero_or_missing_image_register_is_a_debug_enclave(index: int) -> None:
    missing = {number: value for number, value in PCRS.items() if number != index}
    for pcrs in (PCRS | {index: bytes(48)}, missing):
        data = signed(pcrs=pcrs)
        with pytest.raises(AttestationError, match="debug"):
            verify(data)
        assert verify(data, allow_debug=True).debug


def test_each_register_must_be_that_of_the_image() -> None:
    data = signed()
    verify(data, pcrs=PCRS, allow_debug=True)
    for index in (0, 1, 2, 4):
        with pytest.raises(AttestationError) as caught:
            verify(data, pcrs=IMAGE | {index: b"\x99" * 48})
        assert caught.value.field == f"PCR{index}"
        assert PCRS[index].hex() in str(caught.value)
    with pytest.raises(AttestationError, match="PCR9: is missing"):
        verify(data, pcrs=IMAGE | {9: b"\x99" * 48})


def test_of_several_images_one_must_match_in_all_registers() -> None:
    other = dict.fromkeys((0, 1, 2), b"w" * 48)
    verify(signed(), pcrs=[other, IMAGE])
    with pytest.raises(AttestationError, match="no image has them all"):
        verify(signed(), pcrs=[IMAGE | {0: b"\x77" * 48}, other | {0: PCRS[0]}])


@pytest.mark.parametrize("pcrs", [{}, [], [{}], [IMAGE, {}], {0: bytes(48)}, {0: b"x"}, {32: b"\1" * 48}])
def test_a_list_that_would_pin_nothing_is_a_configuration_error(pcrs: Any) -> None:
    with pytest.raises(ConfigError):
        verify(signed(), pcrs=pcrs)


def test_the_age_is_counted_both_ways() -> None:
    document = a_document()
    for minutes in (-5, 5):
        attestation.check_age(document, NOW + timedelta(minutes=minutes))
        with pytest.raises(AttestationError) as caught:
            attestation.check_age(document, NOW + timedelta(minutes=minutes, seconds=minutes))
        assert caught.value.field == "timestamp"
