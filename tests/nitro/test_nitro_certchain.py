"""The path from the pinned root to the leaf: a rule broken alone is named with its certificate."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from asn1crypto import core
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from nitro_chain import CHAIN, LEAF, NOW, RIGHT, Chain, Link, a_chain, a_name, signed, verify

from signatory.errors import IntegrityError, MalformedError
from signatory.nitro import certchain
from signatory.nitro.attestation import AttestationError


def _broken(index: int, **changes: Any) -> Chain:
    links = list(RIGHT)
    links[index] = replace(links[index], **changes)
    return a_chain(links)


EARLIER, LATER = NOW - timedelta(minutes=1), NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("index", "changes", "where", "words"),
    [
        (1, {"ca": False, "path_length": None}, "cabundle[1]", "is not a CA"),
        (1, {"ca": None}, "cabundle[1]", "no critical basic constraints"),
        (1, {"critical": False}, "cabundle[1]", "no critical basic constraints"),
        (0, {"path_length": 2}, "cabundle[0]", "path length is 2, the path has 3"),
        (1, {"path_length": 1}, "cabundle[1]", "path length is 1, the path has 2"),
        (2, {"path_length": 0}, "cabundle[2]", "path length is 0, the path has 1"),
        (3, {"cert_sign": False}, "cabundle[3]", "key usage"),
        (3, {"cert_sign": None}, "cabundle[3]", "no key usage"),
        (3, {"extension": True}, "cabundle[3]", "critical extension 2.5.29.37"),
        (2, {"issuer": "somebody"}, "cabundle[2]", "issuer is not cabundle[1]"),
        (2, {"signed_by": 0}, "cabundle[2]", "signature is not by cabundle[1]"),
        (2, {"curve": ec.SECP256R1}, "cabundle[2]", "P-384"),
        (2, {"algorithm": SHA256}, "cabundle[2]", "ecdsa-with-SHA384"),
        (2, {"ends": EARLIER}, "cabundle[2]", "expired"),
        (2, {"begins": LATER}, "cabundle[2]", "is valid only from"),
        (0, {"ends": EARLIER}, "cabundle[0]", "expired"),
        (4, {"ends": EARLIER}, "certificate", "expired"),
        (4, {"begins": LATER}, "certificate", "is valid only from"),
        (4, {"ca": True}, "certificate", "is a CA"),
        (4, {"cert_sign": True}, "certificate", "key usage"),
        (4, {"sign": False}, "certificate", "key usage"),
        (4, {"extension": True}, "certificate", "critical extension"),
        (4, {"issuer": "c2"}, "certificate", "issuer is not cabundle[3]"),
        (4, {"signed_by": 4}, "certificate", "signature is not by cabundle[3]"),
    ],
)
def test_each_rule_of_the_path_is_named_with_its_certificate(
    index: int, changes: Mapping[str, Any], where: str, words: str
) -> None:
    chain = _broken(index, **changes)
    with pytest.raises(AttestationError) as caught:
        verify(signed(chain), chain, at=NOW)
    assert caught.value.field == where
    assert words in str(caught.value)


def test_extensions_that_are_not_critical_are_left_alone() -> None:
    chain = _broken(3, extension=False)
    verify(signed(chain), chain)


@pytest.mark.parametrize("count", [2, 3, 9])
def test_a_path_may_be_shorter_or_longer_than_that_of_aws(count: int) -> None:
    chain = a_chain([*[Link()] * (count - 1), LEAF])
    verify(signed(chain), chain)


def test_a_path_without_end_is_not_followed() -> None:
    data = signed(cabundle=CHAIN.certificates[:1] * 9)
    with pytest.raises(AttestationError) as caught:
        verify(data)
    assert caught.value.field == "cabundle"


def test_a_bundle_that_is_cut_or_in_another_order_or_of_another_root_is_refused() -> None:
    root, *rest = CHAIN.certificates[:-1]
    other = a_chain()
    for cabundle in ((root, *rest[:-1]), (root, *reversed(rest)), (root, rest[1], rest[2])):
        with pytest.raises(AttestationError, match="issuer is not"):
            verify(signed(cabundle=cabundle))
    for cabundle in (tuple(rest), (*rest, root), (other.certificates[0], *rest)):
        with pytest.raises(AttestationError, match="pinned root"):
            verify(signed(cabundle=cabundle))


def test_a_whole_chain_of_the_same_names_under_another_root_is_refused() -> None:
    other = a_chain()
    with pytest.raises(AttestationError, match="pinned root"):
        verify(signed(other), CHAIN)
    grafted = signed(other, cabundle=(CHAIN.certificates[0], *other.certificates[1:-1]))
    with pytest.raises(AttestationError, match="signature is not by"):
        verify(grafted, CHAIN)


def test_bytes_that_are_no_certificate_are_malformed() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    builder = x509.CertificateBuilder().subject_name(a_name("x")).issuer_name(a_name("x")).serial_number(1)
    builder = builder.public_key(key.public_key()).not_valid_before(NOW).not_valid_after(LATER)
    foreign = builder.sign(key, None).public_bytes(Encoding.DER)
    for certificate in (b"x", CHAIN.certificates[-1] + b"\0", CHAIN.certificates[-1][:-1]):
        with pytest.raises(MalformedError, match="certificate: is not the DER"):
            verify(signed(certificate=certificate))
    with pytest.raises(AttestationError, match="P-384"):
        verify(signed(certificate=foreign))


def test_its_errors_belong_to_the_family_of_wrong_answers() -> None:
    assert issubclass(AttestationError, IntegrityError)


def _odd_leaf(change: Callable[[core.Sequence], None]) -> tuple[Chain, bytes]:
    """A chain and a leaf below it whose TBSCertificate was changed before the instance's key signed it."""
    keys = [ec.generate_private_key(ec.SECP384R1()) for _ in range(2)]
    chain = a_chain([Link(), LEAF], keys=keys)
    leaf = asn1.Certificate.load(chain.certificates[1])
    change(leaf["tbs_certificate"])
    tbs = leaf["tbs_certificate"].dump(force=True)
    leaf["signature_value"] = keys[0].sign(tbs, ec.ECDSA(SHA384()))
    return chain, leaf.dump(force=True)


def _constraints(der: str) -> Callable[[core.Sequence], None]:
    def change(tbs: core.Sequence) -> None:
        (found,) = (each for each in tbs["extensions"] if each["extn_id"].native == "basic_constraints")
        found["extn_value"] = core.ParsableOctetString(bytes.fromhex(der))

    return change


def _without_constraints(tbs: core.Sequence) -> None:
    tbs["extensions"] = [each for each in tbs["extensions"] if each["extn_id"].native != "basic_constraints"]


def _without_usage(tbs: core.Sequence) -> None:
    tbs["extensions"] = [each for each in tbs["extensions"] if each["extn_id"].native != "key_usage"]


def _constraints_twice(tbs: core.Sequence) -> None:
    tbs["extensions"].append(tbs["extensions"][0].copy())


def _unknown_critical(tbs: core.Sequence) -> None:
    tbs["extensions"].append(
        asn1.Extension({"extn_id": "1.2.3.4", "critical": True, "extn_value": core.ParsableOctetString(b"")})
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_constraints("30060101ff020100"), "certificate: is a CA"),
        (_constraints("3003020100"), "certificate: is not the DER"),  # a path length, and no CA
        (_constraints("30030101ff"), "certificate: is a CA"),
        (_without_constraints, "no critical basic constraints"),
        (_without_usage, "no key usage"),
        (_constraints_twice, "extensions cannot be read"),
        (_unknown_critical, "critical extension 1.2.3.4"),
    ],
)
def test_a_leaf_that_is_odd_but_rightly_signed_is_refused(
    change: Callable[[core.Sequence], None], words: str
) -> None:
    chain, leaf = _odd_leaf(change)
    with pytest.raises((AttestationError, MalformedError)) as caught:
        verify(signed(chain, certificate=leaf), chain)
    assert words in str(caught.value)


def test_a_leaf_signed_again_without_a_change_is_still_right() -> None:
    chain, leaf = _odd_leaf(lambda _: None)
    assert leaf != chain.certificates[1]
    verify(signed(chain, certificate=leaf), chain)


@pytest.mark.parametrize("index", range(5))
def test_an_unknown_critical_extension_is_refused_in_every_place(index: int) -> None:
    chain = _broken(index, extension=True)
    with pytest.raises(AttestationError, match="critical extension") as caught:
        verify(signed(chain), chain)
    assert caught.value.field == ("certificate" if index == 4 else f"cabundle[{index}]")


def test_a_fingerprint_is_that_of_the_der_whatever_the_file_is() -> None:
    root = CHAIN.certificates[0]
    pem = x509.load_der_x509_certificate(root).public_bytes(Encoding.PEM)
    expected = hashlib.sha256(root).digest()
    assert certchain.fingerprint(root) == certchain.fingerprint(b"a title\n" + pem) == expected
    for data in (b"", b"x", pem[:-40], root[:-1], root + b"\0", pem + pem, b"-----BEGIN"):
        with pytest.raises(MalformedError):
            certchain.fingerprint(data)


@given(data=st.binary(max_size=100))
def test_any_bytes_are_no_root(data: bytes) -> None:
    for each in (data, b"-----BEGIN CERTIFICATE-----\n" + data + b"\n-----END CERTIFICATE-----\n"):
        with pytest.raises(MalformedError):
            certchain.fingerprint(each)
