"""Under whose name, by which scheme and for what a key is sealed, opens and proves."""

from typing import Any

import cbor2
import pytest
from enclave_cloud import SCHEMES, Cloud, Enclave
from enclave_host import Host, refused

from signatory.crypto.curves import KeyType, Purpose
from signatory.crypto.keypair import Verifier


@pytest.mark.parametrize("scheme", ["kms-gdk-v1", "kms-envelope-v1"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("purpose", "raw"),
        ("version", 2),
        ("user_id", "tenant-1"),
        ("public_key", bytes(33)),
        ("public_key", b""),
        ("key_id", "tz1" + "1" * 33),
        ("key_type", "NistP256"),
    ],
)
async def test_a_record_opens_only_as_what_it_is(
    cloud: Cloud, enclave: Enclave, scheme: str, field: str, value: Any
) -> None:
    host = await Host.ready(enclave)
    born = await host.make("Secp256k1", scheme=scheme)
    before = cloud.calls("kms", "Decrypt")
    chain = await refused(host.load(born, scheme, **{field: value}))
    assert "substitution" in chain[-1]
    assert field.replace("public_key", "public") in chain[-1]
    assert cloud.calls("kms", "Decrypt") == before
    assert await host.load(born, scheme)


async def test_an_old_record_does_not_open_under_another_key_s_name(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    for scheme in SCHEMES:
        old, new = await host.make(scheme=scheme), await host.make(scheme=scheme)
        swapped = new | {"blob": old["blob"]}
        assert "substitution" in (await refused(host.load(swapped, scheme)))[-1]


async def test_a_record_is_not_opened_by_another_scheme(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    for scheme in SCHEMES:
        born = await host.make(scheme=scheme)
        for other in SCHEMES:
            if other != scheme:
                assert await refused(host.load(born, other))


async def test_a_tenant_s_key_opens_as_that_tenant_s_only(cloud: Cloud, enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    born = await host.make(user_id="tenant-1", scheme="kms-envelope-v1")
    assert born["name"]["user_id"] == "tenant-1"
    assert cbor2.loads(born["statement"])[5] == "tenant-1"
    other = await Host.ready(enclave)
    for user_id in ("tenant-2", None):
        assert "substitution" in (await refused(other.load(born, "kms-envelope-v1", user_id=user_id)))[-1]
    assert (await other.load(born, "kms-envelope-v1"))["handle"] == 0
    before = cloud.calls("kms", "GenerateDataKey")
    assert await host.make(user_id="tenant-2", scheme="kms-envelope-v1")
    assert cloud.calls("kms", "GenerateDataKey") == before + 1


@pytest.mark.parametrize("user_id", ["", "a b", "ä", "a" * 257, "a\0", 7])
async def test_a_tenant_has_a_name_of_a_bounded_alphabet(enclave: Enclave, user_id: Any) -> None:
    host = await Host.ready(enclave)
    assert "user_id" in (await refused(host.make(user_id=user_id)))[0]


async def test_a_thousand_keys_of_one_data_key_cost_one_call_and_little_memory(
    cloud: Cloud, enclave: Enclave
) -> None:
    host = await Host.ready(enclave)
    born = await host.make("Secp256k1", scheme="kms-envelope-v1")
    other = await Host.ready(enclave)
    await other.load(born, "kms-envelope-v1")
    before, calls = enclave.memory(), cloud.calls("kms", "Decrypt")
    fields = {"name": born["name"], "scheme": "kms-envelope-v1", "blob": born["blob"]}
    for _ in range(20):
        loading = [other.call("LoadSealed", **fields) for _ in range(50)]
        for identifier in loading:
            assert await other.reply(identifier)
    assert (await other.ask("Status"))["keys"] == 1001
    assert cloud.calls("kms", "Decrypt") == calls
    assert enclave.memory() - before < 40_000_000


async def test_a_key_of_the_reference_opens_by_its_id_alone(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    born = await host.make(scheme="kms-encrypt-v0")
    loaded = await host.load(born, "kms-encrypt-v0", public_key=b"")
    assert loaded["public_key"] == {"Ed25519": born["name"]["public_key"]}
    other = await host.make(scheme="kms-encrypt-v0")
    swapped = born | {"name": other["name"] | {"public_key": b""}}
    assert "substitution" in (await refused(host.load(swapped, "kms-encrypt-v0")))[-1]


async def test_an_enclave_seals_by_no_scheme_that_its_settings_leave_out(
    cloud: Cloud, enclave: Enclave
) -> None:
    strict = cloud.enclave(reference_protocol="off", schemes=["kms-gdk-v1"])
    host, other = await Host.ready(strict), await Host.ready(enclave)
    assert host.welcome["schemes"] == ["kms-gdk-v1"]
    for scheme in ("kms-encrypt-v0", "kms-envelope-v1"):
        assert "measured settings" in (await refused(host.make(scheme=scheme)))[-1]
        born = await other.make(scheme=scheme)
        assert "measured settings" in (await refused(host.load(born, scheme)))[-1]
    assert await host.load(await other.make())


@pytest.mark.parametrize(
    ("key_type", "purpose"),
    [("MlDsa65", "tezos"), ("MlDsa87", "tezos"), ("Bls", "checkpoint"), ("MlDsa44", "checkpoint")],
)
async def test_a_purpose_that_a_family_cannot_have_is_refused(
    enclave: Enclave, key_type: str, purpose: str
) -> None:
    host = await Host.ready(enclave)
    assert await refused(host.make(key_type, purpose=purpose))
    assert (await host.ask("Status"))["keys"] == 0


async def test_a_bls_key_proves_possession_of_itself_and_of_an_aggregate(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    first, second = await host.make("Bls"), await host.make("Bls")
    await host.make("Ed25519")
    public, over = first["name"]["public_key"], second["name"]["public_key"]
    verifier = Verifier(KeyType.BLS, public, Purpose.TEZOS)._checker
    own = await host.ask("ProvePossession", handle=0)
    of = await host.ask("ProvePossessionOf", handle=0, public_key=over)
    assert verifier.verify_possession(own["Bls"])  # type: ignore[union-attr]  # a BLS key has it
    assert verifier.verify_possession(of["Bls"], over)  # type: ignore[union-attr]
    for wrong in (bytes(48), b"\xc0" + bytes(47), b"\xff" * 48):
        chain = await refused(host.ask("ProvePossessionOf", handle=0, public_key=wrong))
        assert chain[0] == "signer error"
    for name, fields in (("ProvePossession", {}), ("ProvePossessionOf", {"public_key": over})):
        chain = await refused(host.ask(name, handle=2, **fields))
        assert chain == ("signer error", "Proof of possession is not supported")
