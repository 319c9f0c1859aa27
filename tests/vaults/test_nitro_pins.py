"""Which root and which images a vault pins: from the files that its configuration names."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from rigs import nitro_config

from signatory.errors import ConfigError
from vaults.nitro.pins import Pins

NOW = datetime(2026, 11, 21, tzinfo=UTC)
AWS = bytes.fromhex("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b")
HEX = "a1" * 48
PCRS = {"PCR0": HEX, "PCR1": HEX, "PCR2": HEX}


def certificate() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a root")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    return builder.sign(key, SHA384())


async def pins(folder: Path, **changed: Any) -> Pins:
    return await Pins.read(nitro_config(folder, enclave_protocol="auto", **changed), folder)


async def test_without_a_word_the_root_is_aws_s_and_any_image_may_run(tmp_path: Path) -> None:
    found = await pins(tmp_path)
    assert not found.pin_an_image
    assert (found.trust(NOW).root_sha256, found.trust(NOW).images) == (AWS, ())


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
async def test_a_root_is_read_from_pem_and_der_alike(encoding: Encoding, tmp_path: Path) -> None:
    made = certificate()
    path = tmp_path / "root"
    path.write_bytes(made.public_bytes(encoding))
    found = await pins(tmp_path, attestation_root="$BASE_DIR/root")
    assert found.trust(NOW).root_sha256 == hashlib.sha256(made.public_bytes(Encoding.DER)).digest()


async def test_a_root_that_is_none_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "root"
    two = certificate().public_bytes(Encoding.PEM) * 2
    for data, words in (
        (b"\0", "this is no X.509 certificate"),
        (two, "2 certificates where one was expected"),
        (bytes(1 << 21), "longer"),
    ):
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=words) as caught:
            await pins(tmp_path, attestation_root=str(path))
        assert str(path) in caught.value.message
    with pytest.raises(ConfigError, match=f"attestation_root: cannot read {path}2: No such file"):
        await pins(tmp_path, attestation_root=f"{path}2")


async def test_the_images_of_a_manifest_are_those_that_are_good_at_the_time(tmp_path: Path) -> None:
    path = tmp_path / "releases.json"
    old, new = ({f"PCR{index}": byte * 48 for index in range(3)} for byte in ("b1", "c1"))
    releases = [old | {"revoked": "2026-11-20T00:00:00Z"}, new | {"not_before": "2026-11-01T00:00:00Z"}]
    path.write_text(json.dumps({"releases": releases}))
    found = await pins(tmp_path, manifest=str(path))
    assert found.pin_an_image
    assert [image[0] for image in found.trust(NOW).images] == [b"\xc1" * 48]
    before = datetime(2026, 10, 1, tzinfo=UTC)
    assert [image[0] for image in found.trust(before).images] == [b"\xb1" * 48]
    path.write_text(json.dumps(PCRS | {"revoked": True}))
    with pytest.raises(ConfigError, match="no release of the manifest is good at"):
        (await pins(tmp_path, manifest=str(path))).trust(NOW)


async def test_a_manifest_that_cannot_be_used_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "releases.json"
    for text, words in (
        ("[]", "release manifest"),
        (json.dumps(PCRS | {"PCR1": "00" * 48}), "PCR1: is zero"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=words) as caught:
            await pins(tmp_path, manifest=str(path))
        assert str(path) in caught.value.message


async def test_a_manifest_that_names_another_root_than_the_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").write_bytes(certificate().public_bytes(Encoding.DER))
    (tmp_path / "releases.json").write_text(json.dumps(PCRS | {"root_sha256": AWS.hex()}))
    with pytest.raises(ConfigError, match="names another root"):
        await pins(tmp_path, manifest="$BASE_DIR/releases.json", attestation_root=str(tmp_path / "root"))
