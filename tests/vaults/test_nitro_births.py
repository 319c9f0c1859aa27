"""Births over the extended protocol: what is sealed, stored and certified, read by libraries of others."""

import json
import shutil
from base64 import b64decode
from pathlib import Path
from typing import Any

import cbor2
import independent_births
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from emulators import KEY_ARN, KEY_ID
from fake_enclave import FakeEnclave
from real import Processes
from rigs import CALL, Opened, nitro_rig, signs

from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import IntegrityError, MalformedError, UnavailableError
from signatory.vault import Certified, Checkpointer, KeyBirth, TenantGenerator, VaultKey
from vaults.nitro.negotiation import Protocol

pytestmark = pytest.mark.usefixtures("quick_retries")


def sealed_keys(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "base" / "sealed_keys.json").read_text())
    return found


@pytest.mark.parametrize(
    ("family", "purpose", "scheme", "name"),
    [
        (KeyType.ED25519, Purpose.TEZOS, "kms-gdk-v1", "Ed25519"),
        (KeyType.P256, Purpose.RAW, "kms-envelope-v1", "NistP256"),
        (KeyType.BLS, Purpose.TEZOS, "kms-encrypt-v0", "Bls"),
        (KeyType.MLDSA65, Purpose.RAW, None, "MlDsa65"),
    ],
)
async def test_a_key_is_certified_with_exactly_what_was_asked_for_and_signs_after_a_restart(
    family: KeyType,
    purpose: Purpose,
    scheme: str | None,
    name: str,
    processes: Processes,
    short_folder: Path,
    opened: Opened,
) -> None:
    rig = processes.rig(short_folder, sealing=scheme)
    vault: Any = await opened(rig)
    key = await vault.generate(family, purpose, CALL)
    assert isinstance(vault, Certified)
    birth = vault.birth(key.id)
    assert isinstance(birth, KeyBirth)
    said = independent_births.of_a_key(birth.statement, birth.attestation, processes.root.read_bytes())
    blob, created_at = said.pop(4), said.pop(7)
    assert said == {
        1: "signatory-vault/birth/v1",
        2: name,
        3: key.public_key.data,
        6: KEY_ARN,
        8: scheme or "kms-gdk-v1",
        9: "generated",
        11: "test-1",
        12: purpose.value,
        13: 1,
    }
    assert created_at > 1_700_000_000_000
    assert blob
    await vault.close()
    again: Any = await opened(rig)
    assert again.birth(key.id) == birth
    assert again.birth("tz1KqTpEZ7Yob7QbPE4Hy4Wo8fHG8LhKxZSx") is None
    assert await signs(again, key)


async def test_an_imported_key_is_certified_as_imported_and_a_second_time_refused(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(processes.rig(short_folder))
    pair = keypair.from_secret(KeyType.SECP256K1, b"\x07" * 32, purpose=Purpose.RAW)
    key = await vault.import_key(pair, CALL)
    birth = vault.birth(key.id)
    said = independent_births.of_a_key(birth.statement, birth.attestation, processes.root.read_bytes())
    assert (said[3], said[9], said[12]) == (pair.public, "imported", "raw")
    assert await signs(vault, key)
    with pytest.raises(MalformedError, match="is already in this vault"):
        await vault.import_key(pair, CALL)


async def test_a_tenant_is_sealed_into_record_statement_and_encryption_context(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(processes.rig(short_folder))
    assert isinstance(vault, TenantGenerator)
    key = await vault.generate_for("tenant-1", KeyType.ED25519, Purpose.RAW, CALL)
    birth = vault.birth(key.id)
    said = independent_births.of_a_key(birth.statement, birth.attestation, processes.root.read_bytes())
    assert said[5] == "tenant-1"
    (record,) = sealed_keys(short_folder)
    assert (record["user_id"], record["purpose"]) == ("tenant-1", "raw")
    assert cbor2.loads(b64decode(record["sealed_key"]))[8] == "tenant-1"
    for wrong in ("", "two words", "x" * 257, "line\n"):
        with pytest.raises(MalformedError, match="a user_id is"):
            await vault.generate_for(wrong, KeyType.ED25519, Purpose.RAW, CALL)


async def test_a_record_that_is_given_to_another_tenant_is_left_out_and_the_others_sign(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    rig = processes.rig(short_folder)
    vault: Any = await opened(rig)
    mine, other = [
        await vault.generate_for(name, KeyType.ED25519, Purpose.TEZOS, CALL) for name in ("a", "b")
    ]
    await vault.close()
    path = short_folder / "base" / "sealed_keys.json"
    records = json.loads(path.read_text())
    records[0]["user_id"] = "b"
    path.write_text(json.dumps(records))
    again: Any = await opened(rig)
    assert [key.id for key in await again.list()] == [other.id]
    assert mine.id in again.readiness().reason
    assert await signs(again, other)


async def test_a_store_that_signatory_shares_keeps_its_scheme_until_it_is_told(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    shared = processes.rig(short_folder, protocol="reference")
    vault: Any = await opened(shared)
    old = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    await vault.close()
    reference = short_folder / "base" / "enclave_keys.json"

    vault = await opened(processes.rig(short_folder))
    kept = await vault.generate(KeyType.P256, Purpose.TEZOS, CALL)
    assert [record["public_key_hash"] for record in json.loads(reference.read_text())] == [old.id, kept.id]
    assert set(json.loads(reference.read_text())[1]) == {"public_key_hash", "encrypted_private_key"}
    assert vault.birth(old.id) is None
    assert vault.birth(kept.id) is not None
    beyond = await vault.generate(KeyType.ED25519, Purpose.RAW, CALL)
    await vault.close()

    vault = await opened(processes.rig(short_folder, sealing="kms-gdk-v1"))
    told = await vault.generate(KeyType.P256, Purpose.TEZOS, CALL)
    assert len(json.loads(reference.read_text())) == 2
    assert [record["key_id"] for record in sealed_keys(short_folder)] == [beyond.id, told.id]
    assert all([await signs(vault, key) for key in (old, kept, beyond, told)])
    await vault.close()

    vault = await opened(shared)
    assert {key.id for key in await vault.list()} == {old.id, kept.id}
    assert "sealed by kms-gdk-v1, needs the extended protocol" in vault.readiness().reason


async def test_what_kms_encrypt_v0_cannot_seal_is_refused_with_the_switch_where_v0_is_written(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(processes.rig(short_folder, sealing="kms-encrypt-v0"))
    with pytest.raises(
        MalformedError, match="with the purpose raw cannot be sealed by kms-encrypt-v0"
    ) as caught:
        await vault.generate(KeyType.ED25519, Purpose.RAW, CALL)
    assert caught.value.hint == "set sealing: kms-gdk-v1"
    with pytest.raises(MalformedError, match="that belongs to a tenant cannot be sealed"):
        await vault.generate_for("a", KeyType.ED25519, Purpose.TEZOS, CALL)
    with pytest.raises(MalformedError, match="ML-DSA-65 keys cannot sign for Tezos"):
        await vault.generate(KeyType.MLDSA65, Purpose.TEZOS, CALL)


async def test_a_role_without_generate_data_key_is_told_the_permission_and_the_switch(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(processes.rig(short_folder))
    processes.set_policy(StringEqualsIgnoreCase={"kms:RecipientAttestation:PCR0": "ab" * 48})
    try:
        with pytest.raises(Exception, match="GenerateDataKey") as caught:
            await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    finally:
        processes.set_policy()
    assert "kms:GenerateDataKey" in caught.value.hint  # type: ignore[attr-defined]  # an error of ours
    assert "sealing: kms-encrypt-v0" in caught.value.hint  # type: ignore[attr-defined]  # same


async def test_a_configuration_that_names_the_kms_key_by_its_id_is_enough(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    rig = processes.rig(short_folder, encryption_key_id=KEY_ID)
    credentials = rig.config.credentials.model_copy(update={"region": "us-west-2"})
    rig.config = rig.config.model_copy(update={"credentials": credentials})
    vault: Any = await opened(rig)
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    assert sealed_keys(short_folder)[0]["kms_key_arn"] == KEY_ARN
    assert await signs(vault, key)


async def test_checkpoints_are_signed_by_a_key_that_is_made_once_and_that_nobody_else_can_use(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    rig = processes.rig(short_folder)
    vault: Any = await opened(rig)
    assert isinstance(vault, Checkpointer)
    public, signature = await vault.checkpoint(7, b"\x01" * 32, CALL)
    verifier = ed25519.Ed25519PublicKey.from_public_bytes(public.data)
    verifier.verify(signature, b"signatory-vault/checkpoint/v1\0" + cbor2.dumps([7, b"\x01" * 32]))
    assert list(await vault.list()) == []
    with pytest.raises(UnavailableError, match="is below 7"):
        await vault.checkpoint(6, b"\x01" * 32, CALL)
    with pytest.raises(MalformedError, match="is 32 bytes long"):
        await vault.checkpoint(8, b"\x01" * 31, CALL)

    key = VaultKey(public, Purpose.CHECKPOINT)
    assert await vault.checkpoint_key(CALL) == key
    assert vault.withheld(key.id) is None
    with pytest.raises(UnavailableError, match="signs checkpoints and nothing else"):
        await signs(vault, key)
    with pytest.raises(MalformedError, match="signs nothing for anybody"):
        await vault.generate(KeyType.ED25519, Purpose.CHECKPOINT, CALL)
    pair = keypair.from_secret(KeyType.ED25519, bytes(32), purpose=Purpose.CHECKPOINT)
    with pytest.raises(MalformedError, match="signs nothing for anybody"):
        await vault.import_key(pair, CALL)
    said = independent_births.statement(vault.birth(key.id).statement)
    assert (said[9], said[12]) == ("generated", "checkpoint")
    await vault.close()

    again: Any = await opened(rig)
    assert (await again.checkpoint(8, b"\x02" * 32, CALL))[0] == public


async def test_the_reference_protocol_says_of_each_thing_that_it_lacks_which_one_has_it(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(nitro_rig(short_folder))
    asked = len(fake.requests)
    needs = "needs the extended protocol, and with this enclave the reference protocol is spoken"
    with pytest.raises(MalformedError, match=f"a key that belongs to a tenant {needs}"):
        await vault.generate_for("a", KeyType.ED25519, Purpose.TEZOS, CALL)
    with pytest.raises(MalformedError, match=needs):
        await vault.checkpoint(1, bytes(32), CALL)
    assert len(fake.requests) == asked


async def test_a_vault_that_was_once_extended_speaks_nothing_else_where_the_configuration_says_auto(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    auto = processes.rig(short_folder, protocol="auto")
    vault: Any = await opened(auto)
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    assert vault.birth(key.id) is not None
    await vault.close()

    enclave = FakeEnclave(short_folder / "enclave.sock")
    await enclave.start()
    address = f"unix:{short_folder}/enclave.sock"
    for protocol in (Protocol.AUTO, Protocol.EXTENDED):
        update = {"enclave_address": address, "enclave_protocol": protocol}
        auto.config = auto.config.model_copy(update=update)
        with pytest.raises((IntegrityError, UnavailableError), match="protocol"):
            await auto.open()
    assert enclave.requests == []
    shutil.rmtree(short_folder / "base")
    auto.config = auto.config.model_copy(update={"enclave_protocol": Protocol.AUTO})
    fresh: Any = await opened(auto)
    assert fresh.readiness().ready
    assert enclave.hellos == 3
    await fresh.close()
    await enclave.stop()
