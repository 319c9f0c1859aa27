"""The nitro vault and a reference enclave: births, refusals, substitution, and what it says about itself."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from emulators import KEY_ARN
from fake_enclave import SEAL, FakeEnclave, FakeKey
from rigs import CALL, LATEST, Opened, nitro_config, nitro_rig, signs

from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import (
    ConfigError,
    DeniedError,
    IntegrityError,
    MalformedError,
    UnavailableError,
)
from vaults.nitro.credentials import credentials

DENIED = ("AccessDeniedException: not authorized to perform: kms:Decrypt", "PCR0 of this enclave is 00ff")

pytestmark = pytest.mark.usefixtures("quick_retries")


async def test_a_birth_is_stored_in_signatory_s_form_for_tz1_to_tz4_and_in_ours_for_the_rest(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(nitro_rig(short_folder))
    first = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    second = await vault.generate(KeyType.MLDSA87, Purpose.RAW, CALL)
    blob = fake_blob(short_folder / "base" / "enclave_keys.json")
    record = f'"public_key_hash": "{first.id}",\n        "encrypted_private_key": "{blob}"'
    text = (short_folder / "base" / "enclave_keys.json").read_text()
    assert text == f"[\n    {{\n        {record}\n    }}\n]\n"
    (found,) = json.loads((short_folder / "base" / "sealed_keys.json").read_text())
    sealed = found.pop("sealed_key")
    assert base64.b64decode(sealed).startswith(SEAL)
    assert found == {
        "version": 2,
        "key_version": 1,
        "key_id": second.id,
        "key_type": "mldsa87",
        "purpose": "raw",
        "public_key": base64.b64encode(second.public_key.data).decode(),
        "scheme": "kms-encrypt-v0",
        "kms_key_arn": KEY_ARN,
    }
    assert {path.stat().st_mode & 0o777 for path in (short_folder / "base").glob("*.json")} == {0o600}


def fake_blob(path: Path) -> str:
    return str(json.loads(path.read_text())[0]["encrypted_private_key"])


async def test_a_key_that_cannot_be_stored_is_never_announced(
    fake: FakeEnclave, short_folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault: Any = await opened(nitro_rig(short_folder))

    def full(*_: Any, **__: Any) -> None:
        raise UnavailableError("cannot write: No space left on device")

    monkeypatch.setattr("vaults.nitro.storage.array.replace_durably", full)
    with pytest.raises(UnavailableError, match="No space left"):
        await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    assert list(await vault.list()) == []


async def test_opening_fails_with_kms_s_own_words_and_what_to_do_where_every_key_is_denied(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    rig = nitro_rig(short_folder)
    vault: Any = await opened(rig)
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    await vault.close()
    fake.denied = DENIED
    with pytest.raises(DeniedError) as caught:
        await rig.open()
    assert "AccessDeniedException" in caught.value.message
    assert "PCR0 of this enclave is 00ff" in caught.value.message
    assert key.id in caught.value.message
    assert "RecipientAttestation" in (caught.value.hint or "")


async def test_a_bad_blob_leaves_only_its_own_key_out(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    rig = nitro_rig(short_folder)
    vault: Any = await opened(rig)
    good, bad = [await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL) for _ in range(2)]
    await vault.close()
    damage(short_folder, 1, encrypted_private_key=base64.b64encode(b"not sealed here").decode())
    vault = await opened(rig)
    assert [key.id for key in await vault.list()] == [good.id]
    assert await signs(vault, good)
    state = vault.readiness()
    assert state.ready
    assert bad.id in state.reason
    assert "InvalidCiphertextException" in state.reason
    assert "InvalidCiphertextException" in str(vault.withheld(bad.id))
    assert vault.withheld("tz1KqTpEZ7Yob7QbPE4Hy4Wo8fHG8LhKxZSx") is None
    with pytest.raises(UnavailableError, match=bad.id):
        await signs(vault, bad)


async def test_exchanged_blobs_are_refused_as_substitution(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    rig = nitro_rig(short_folder)
    vault: Any = await opened(rig)
    for _ in range(2):
        await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    await vault.close()
    path = short_folder / "base" / "enclave_keys.json"
    first, second = json.loads(path.read_text())
    first["encrypted_private_key"], second["encrypted_private_key"] = (
        second["encrypted_private_key"],
        first["encrypted_private_key"],
    )
    path.write_text(json.dumps([first, second]))
    with pytest.raises(IntegrityError, match=r"^substitution: the blob stored for tz1.* is the key tz1"):
        await rig.open()


async def test_a_key_that_another_process_made_is_found_by_listing(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    rig = nitro_rig(short_folder)
    daemon: Any = await opened(rig)
    command: Any = await opened(rig)
    made = await command.generate(KeyType.BLS, Purpose.TEZOS, CALL)
    assert [key.id for key in await daemon.list()] == [made.id]
    assert await signs(daemon, made)


async def test_a_store_that_breaks_later_keeps_its_keys_signing_and_is_not_overwritten(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(nitro_rig(short_folder))
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    path = short_folder / "base" / "enclave_keys.json"
    await vault.list()
    path.write_text('[{"public_key')
    assert [found.id for found in await vault.list()] == [key.id]
    assert await signs(vault, key)
    assert "is not a JSON array" in vault.readiness().reason
    with pytest.raises(IntegrityError, match="is not a JSON array"):
        await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    assert path.read_text() == '[{"public_key'


async def test_the_purposes_and_sizes_that_the_enclave_cannot_have_are_refused_before_it_is_asked(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(nitro_rig(short_folder))
    asked = len(fake.requests)
    with pytest.raises(MalformedError, match="with the purpose raw needs the extended protocol"):
        await vault.generate(KeyType.ED25519, Purpose.RAW, CALL)
    seed = keypair.from_secret(KeyType.MLDSA87, bytes(32))
    with pytest.raises(MalformedError, match="an expanded ML-DSA-87 key is longer than the 4096 bytes"):
        await vault.import_key(keypair.from_secret(KeyType.MLDSA87, seed.expanded), CALL)
    assert len(fake.requests) == asked


async def test_an_enclave_that_does_not_know_a_family_is_named_as_too_old(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    fake.known_families = ("Ed25519",)
    vault: Any = await opened(nitro_rig(short_folder))
    with pytest.raises(UnavailableError, match="unknown variant") as caught:
        await vault.generate(KeyType.MLDSA44, Purpose.TEZOS, CALL)
    assert "newer" in (caught.value.hint or "")


async def test_a_long_message_goes_to_the_reference_as_an_array_of_integers(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(nitro_rig(short_folder))
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    for size, expected in ((4096, bytes), (4097, list)):
        await vault.sign(key, bytes(size), LATEST, CALL)
        body = fake.requests[-1][1]
        assert isinstance(body["message"], expected)
        assert body["version"] == 2


async def test_credentials_come_from_the_configuration_else_the_environment_else_are_missed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = await credentials(nitro_config(tmp_path))
    assert (found.access_key_id, found.session_token, found.region) == ("AKIDEXAMPLE", None, "us-west-2")
    assert "wJalrXUtnFEMI" not in repr(found)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    found = await credentials(nitro_config(tmp_path, credentials={}))
    assert (found.access_key_id, found.session_token) == ("AKIDENV", "token")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(ConfigError, match=r"^the AWS region of the KMS key is not known$"):
        await credentials(nitro_config(tmp_path, credentials={}, encryption_key_id="alias/signer"))


def damage(folder: Path, index: int, **fields: str) -> None:
    path = folder / "base" / "enclave_keys.json"
    records = json.loads(path.read_text())
    records[index] |= fields
    path.write_text(json.dumps(records))


def test_the_fake_s_blob_holds_the_reference_s_plaintext() -> None:
    assert FakeKey("Ed25519", bytes(32)).seal() == SEAL + bytes.fromhex(
        "a16745643235353139" + "5820" + "00" * 32
    )
