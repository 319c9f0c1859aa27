"""Births: what the enclave says of a new key, and that the module says who said it."""

import hashlib
from collections.abc import Iterator
from typing import Any

import cbor2
import pytest
from emulators import KEY_ARN
from enclave_cloud import SCHEMES, Cloud, Enclave
from enclave_host import SEED, USUAL, Host, refused, root

from signatory.crypto.curves import KeyType, Purpose
from signatory.crypto.keypair import Verifier
from signatory.nitro import attestation
from signatory.tezos.keys import PublicKey

FAMILIES = {
    "Ed25519": KeyType.ED25519,
    "Secp256k1": KeyType.SECP256K1,
    "NistP256": KeyType.P256,
    "Bls": KeyType.BLS,
    "MlDsa44": KeyType.MLDSA44,
    "MlDsa65": KeyType.MLDSA65,
    "MlDsa87": KeyType.MLDSA87,
}


def head(major: int, size: int) -> bytes:
    """The head of a CBOR item in its shortest form, RFC 8949 section 3."""
    for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if size < 24:
            return bytes([major << 5 | size])
        if size < 1 << 8 * width:
            return bytes([major << 5 | info]) + size.to_bytes(width, "big")
    raise AssertionError(size)


def by_hand(entries: dict[int, int | str | bytes | None]) -> bytes:
    """A map from small integers, sorted, without those that are None; by no CBOR library."""

    def parts() -> Iterator[bytes]:
        there = {number: value for number, value in entries.items() if value is not None}
        yield head(5, len(there))
        for number, value in sorted(there.items()):
            yield head(0, number)
            if isinstance(value, int):
                yield head(0, value)
            else:
                data = value.encode() if isinstance(value, str) else value
                yield head(3 if isinstance(value, str) else 2, len(data)) + data

    return b"".join(parts())


def birth_of(born: Any, scheme: str, origin: str, purpose: str, created_at: int) -> bytes:
    """The statement that the enclave should have made, by its layout."""
    name = born["name"]
    return by_hand(
        {
            1: "signatory-vault/birth/v1",
            2: name["key_type"],
            3: name["public_key"],
            4: born["blob"],
            5: name["user_id"],
            6: KEY_ARN,
            7: created_at,
            8: scheme,
            9: origin,
            11: "unreleased-test",
            12: purpose,
            13: 1,
        }
    )


@pytest.fixture(scope="module")
def _released(_processes: Cloud) -> Enclave:
    return _processes.enclave(release="unreleased-test")


@pytest.fixture
def released(cloud: Cloud, _released: Enclave) -> Enclave:
    """An enclave that knows which release it is."""
    return _released


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("key_type", list(FAMILIES))
async def test_a_new_key_has_a_certified_birth_and_opens_again_by_its_name(
    cloud: Cloud, released: Enclave, key_type: str, scheme: str
) -> None:
    host = await Host.ready(released)
    purpose = "raw" if key_type in {"MlDsa65", "MlDsa87"} else "tezos"
    born = await host.make(key_type, scheme=scheme, purpose=purpose, nonce=b"\x77" * 32)
    family, name = FAMILIES[key_type], born["name"]
    assert name == {
        "key_id": PublicKey(family, name["public_key"]).id,
        "key_type": key_type,
        "purpose": purpose,
        "public_key": name["public_key"],
        "version": 1,
        "user_id": None,
    }
    document = attestation.verify(
        born["attestation"],
        root_sha256=root(cloud),
        user_data=hashlib.sha256(born["statement"]).digest(),
        nonce=b"\x77" * 32,
    )
    assert document.public_key is None
    created_at = cbor2.loads(born["statement"])[7]
    assert abs(created_at - document.timestamp_ms) < 60_000
    assert born["statement"] == birth_of(born, scheme, "generated", purpose, created_at)
    verifier = Verifier(family, name["public_key"], Purpose(purpose))
    other = await Host.ready(released)
    loaded = await other.load(born, scheme)
    assert loaded == {"public_key": {key_type: name["public_key"]}, "handle": 0}
    for signed in (await host.sign(born["handle"], b"m"), await other.sign(0, b"m")):
        assert verifier.verify(b"m", signed[key_type])


async def test_an_imported_key_is_never_said_to_be_born_inside(cloud: Cloud, released: Enclave) -> None:
    host = await Host.ready(released)
    first, second = await host.bring("Ed25519", SEED), await host.bring("Ed25519", SEED, purpose="raw")
    for born, purpose in ((first, "tezos"), (second, "raw")):
        document = attestation.verify(born["attestation"], root_sha256=root(cloud))
        created_at = cbor2.loads(born["statement"])[7]
        assert born["statement"] == birth_of(born, "kms-gdk-v1", "imported", purpose, created_at)
        assert document.user_data == hashlib.sha256(born["statement"]).digest()
        assert (document.public_key, document.nonce) == (None, None)
    assert (first["handle"], second["handle"]) == (0, 1)


async def test_no_document_can_stand_for_one_of_another_kind(cloud: Cloud, enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    nonce = b"\x55" * 16
    birth = attestation.parse((await host.make(nonce=nonce))["attestation"])
    session = attestation.parse((await host.ask("Attest", nonce=nonce))["document"])
    assert birth.public_key is None
    assert session.public_key == host.welcome["session_key"]
    assert birth.user_data != session.user_data


@pytest.mark.parametrize("make", ["generate", "import"])
async def test_a_key_whose_birth_is_not_certified_is_dropped(
    cloud: Cloud, enclave: Enclave, make: str
) -> None:
    host = await Host.ready(enclave)
    # The first document is for KMS and is given; the second would be the birth's.
    cloud.tell("kms", do="delay", operation="GenerateDataKey", seconds=1)
    before = cloud.calls("kms", "GenerateDataKey")
    if make == "generate":
        identifier = host.call("GenerateAttested", key_type="Ed25519", **USUAL)
    else:
        sealed = host.seal("ImportSealed", cbor2.dumps({"Ed25519": SEED}))
        identifier = host.call("ImportSealed", sealed=sealed, **USUAL)
    while cloud.calls("kms", "GenerateDataKey") == before:
        await host.ask("Status")
    cloud.tell("nsm", do="fail", operation="Attestation", error="InternalError", times=1)
    chain = await refused(host.reply(identifier))
    assert chain[:2] == ("encryption error", "attestation error")
    assert (await host.ask("Status"))["keys"] == 0
    assert (await host.make())["handle"] == 0
