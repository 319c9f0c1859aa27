"""What a document must say before a secret goes to an enclave; the documents are made by hand here."""

import hashlib
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import ConfigError, IntegrityError
from signatory.nitro.attestation import AWS_ROOT_SHA256
from vaults.nitro import trust as trust_module
from vaults.nitro.trust import Trust

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PCRS = {0: b"\x10" * 48, 1: b"\x11" * 48, 2: b"\x12" * 48, 3: bytes(48), 8: b"\x18" * 48}
IMAGE = {0: PCRS[0], 1: PCRS[1], 2: PCRS[2]}
TRANSCRIPT, SESSION_KEY, NONCE = hashlib.sha256(b"t").digest(), b"k" * 32, b"n" * 32


def certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    path: int | None,
) -> bytes:
    is_ca = path is not None
    usage = x509.KeyUsage(not is_ca, False, False, False, False, is_ca, is_ca, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(is_ca, path), critical=True)
        .add_extension(usage, critical=True)
    )
    return builder.sign(signer, SHA384()).public_bytes(Encoding.DER)


ROOT_KEY, LEAF_KEY = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
ROOT = certificate("root", ROOT_KEY, "root", ROOT_KEY, 1)
LEAF = certificate("leaf", LEAF_KEY, "root", ROOT_KEY, None)
ROOT_SHA256 = hashlib.sha256(ROOT).digest()


def document(**changes: Any) -> bytes:
    payload = {
        "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
        "digest": "SHA384",
        "timestamp": int(NOW.timestamp() * 1000),
        "pcrs": PCRS,
        "certificate": LEAF,
        "cabundle": [ROOT],
        "public_key": SESSION_KEY,
        "user_data": TRANSCRIPT,
        "nonce": NONCE,
    }
    return signed(cbor2.dumps(payload | changes))


def signed(payload: bytes) -> bytes:
    protected = cbor2.dumps({1: -35})
    structure = cbor2.dumps(["Signature1", protected, b"", payload])
    r, s = utils.decode_dss_signature(LEAF_KEY.sign(structure, ec.ECDSA(SHA384())))
    return cbor2.dumps([protected, {}, payload, r.to_bytes(48, "big") + s.to_bytes(48, "big")])


async def check(data: bytes, *images: Mapping[int, bytes], now: datetime = NOW, **changes: Any) -> Any:
    trust = Trust(**{"root_sha256": ROOT_SHA256, "images": images} | changes)
    return await trust.check(data, transcript=TRANSCRIPT, session_key=SESSION_KEY, nonce=NONCE, now=now)


async def test_a_document_of_an_allowed_image_and_of_this_connection_is_taken() -> None:
    found = await check(document(), IMAGE)
    assert found.module_id == "i-0123456789abcdef0-enc0123456789abcdef"
    assert (await check(document(), {0: bytes([1]) * 48}, {**IMAGE, 8: PCRS[8]})).pcrs == PCRS


async def test_without_images_any_image_is_taken_but_nothing_else_is() -> None:
    assert (await check(document(pcrs=PCRS | {0: b"\x77" * 48}))).pcrs[0] == b"\x77" * 48
    with pytest.raises(IntegrityError, match="nonce"):
        await check(document(nonce=None))


BAD: dict[str, tuple[bytes, str]] = {
    "another nonce": (document(nonce=b"m" * 32), "nonce"),
    "no nonce": (document(nonce=None), "nonce"),
    "another connection": (document(user_data=hashlib.sha256(b"u").digest()), "user_data"),
    "a document for KMS": (document(user_data=None), "user_data"),
    "another session key": (document(public_key=b"j" * 32), "public_key"),
    "a birth's document": (document(public_key=None), "public_key"),
    "another PCR0": (document(pcrs=PCRS | {0: b"\x99" * 48}), "PCR0"),
    "another PCR2": (document(pcrs=PCRS | {2: b"\x99" * 48}), "PCR2"),
    "no PCR1": (document(pcrs={0: PCRS[0], 2: PCRS[2]}), "PCR1"),
    "no such PCR8": (document(pcrs=PCRS | {8: b"\x99" * 48}), "PCR8"),
    "a debug enclave": (document(pcrs=dict.fromkeys(range(16), bytes(48))), "debug"),
    "another signature": (document()[:-1] + bytes([document()[-1] ^ 1]), "signature"),
    "a bundle without the root": (document(cabundle=[LEAF]), "cabundle"),
    "bytes that are no document": (b"\xff" * 100, "attestation document"),
    "nothing": (b"", "attestation document"),
    "forty thousand bytes": (bytes(40_000), "40000"),
}


@pytest.mark.parametrize(("data", "named"), BAD.values(), ids=BAD)
async def test_a_document_that_is_not_right_is_an_integrity_error_that_names_the_field(
    data: bytes, named: str
) -> None:
    with pytest.raises(IntegrityError, match=named) as caught:
        await check(data, {**IMAGE, 8: PCRS[8]})
    assert caught.value.kind == "integrity"


async def test_a_registers_s_value_is_shown_so_that_it_can_be_compared() -> None:
    with pytest.raises(IntegrityError, match="PCR0.*" + "99" * 48):
        await check(document(pcrs=PCRS | {0: b"\x99" * 48}), IMAGE)


async def test_the_root_is_the_operator_s_and_by_default_that_of_aws() -> None:
    assert Trust().root_sha256 == AWS_ROOT_SHA256
    with pytest.raises(IntegrityError, match="cabundle"):
        await check(document(), IMAGE, root_sha256=AWS_ROOT_SHA256)


@pytest.mark.parametrize("hours", [-2, 2])
async def test_certificates_must_be_valid_now_whatever_the_document_says(hours: int) -> None:
    with pytest.raises(IntegrityError):
        await check(document(), IMAGE, now=NOW + timedelta(hours=hours))


async def test_a_debug_enclave_is_taken_where_that_is_allowed() -> None:
    zeros = dict.fromkeys(range(16), bytes(48))
    assert (await check(document(pcrs=zeros), allow_debug=True)).debug


@pytest.mark.parametrize("image", [{}, {0: bytes(48)}, {0: b"\x10" * 47}, {32: b"\x10" * 48}])
async def test_an_image_that_pins_nothing_is_a_mistake_of_the_configuration(image: dict[int, bytes]) -> None:
    with pytest.raises(ConfigError):
        await check(document(), image)


async def test_a_document_is_verified_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    where: list[int] = []

    def note(*_: Any, **__: Any) -> Any:
        where.append(threading.get_ident())

    monkeypatch.setattr(trust_module, "verify", note)
    await check(document(), IMAGE)
    assert where[0] != threading.get_ident()


GENUINE = document()


@given(index=st.integers(0, len(GENUINE) - 1), value=st.integers(1, 255))
async def test_a_document_with_one_byte_changed_is_never_taken(index: int, value: int) -> None:
    data = bytearray(GENUINE)
    data[index] ^= value
    with pytest.raises(IntegrityError):
        await check(bytes(data), IMAGE)
