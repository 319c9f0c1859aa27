"""The nitro vault as a whole: births, restarts, refusals, substitution, and what it says about itself."""

import asyncio
import base64
import json
import signal
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from emulators import ACCESS, KEY_ARN
from fake_enclave import SEAL, FakeEnclave, FakeKey, ints, ok, struct
from independent import verifies
from real import Processes
from rigs import CALL, Opened, nitro_config, nitro_rig, until

from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, Purpose, SigningVersion
from signatory.errors import (
    ConfigError,
    DeniedError,
    IntegrityError,
    MalformedError,
    UnavailableError,
)
from signatory.nitro.sigv4 import AccessKey
from signatory.vault import Call, Readiness, Resettable, Vault, VaultKey
from vaults.nitro import driver, link
from vaults.nitro.driver import NitroVault

LATEST = SigningVersion.LATEST
MESSAGE = b"\x03message"
DENIED = ("AccessDeniedException: not authorized to perform: kms:Decrypt", "PCR0 of this enclave is 00ff")


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST", "KEYS_FIRST", "LAST", "KEYS_LAST"):
        monkeypatch.setattr(link, name, 0.01)


async def signs(vault: Vault, key: VaultKey) -> bool:
    signature = await vault.sign(key, MESSAGE, LATEST, CALL)
    return verifies(key.public_key.type.value, key.public_key.data, MESSAGE, signature)


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
        "version": 1,
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

    monkeypatch.setattr("vaults.nitro.storage.file.replace_durably", full)
    with pytest.raises(UnavailableError, match="No space left"):
        await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    assert list(await vault.list()) == []


async def test_the_vault_survives_the_enclave_s_death_and_its_keys_sign_again(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(nitro_rig(short_folder))
    keys = [await vault.generate(family, Purpose.TEZOS, CALL) for family in (KeyType.P256, KeyType.ED25519)]
    await fake.stop()
    await until(lambda: not vault.readiness().ready)
    assert "enclave" in vault.readiness().reason
    assert list(await vault.list()) == keys
    with pytest.raises(UnavailableError, match=r"^the enclave is not connected: "):
        await vault.sign(keys[0], MESSAGE, LATEST, Call("short", 0.05))
    waiting = [asyncio.create_task(signs(vault, key)) for key in keys]
    await fake.start()
    assert all(await asyncio.gather(*waiting))
    assert vault.readiness().ready


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


async def test_a_running_vault_that_is_denied_after_a_restart_says_so_and_heals(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(nitro_rig(short_folder))
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    fake.denied = DENIED
    await fake.stop()
    await fake.start()
    await until(lambda: "00ff" in vault.readiness().reason)
    assert not vault.readiness().ready
    fake.denied = ()
    assert await signs(vault, key)


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


async def test_a_fleet_that_takes_long_to_load_opens_and_the_rest_follows(
    fake: FakeEnclave, short_folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = nitro_rig(short_folder)
    vault: Any = await opened(rig)
    keys = [await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL) for _ in range(12)]
    await vault.close()
    monkeypatch.setattr(link, "LOADING", 0.001)
    monkeypatch.setattr(link, "LISTING", 0.001)
    opening = asyncio.Event()

    async def slow(name: str, _body: Any) -> None:
        if name == "Import" and fake.count("Import") > 2:
            await opening.wait()
        elif name == "Import":
            await asyncio.sleep(0.002)

    fake.hook = slow
    vault = await opened(rig)
    assert 0 < len(await vault.list()) < len(keys)
    opening.set()
    await until(lambda: len(vault._link.shown()) == len(keys))
    assert [key.id for key in await vault.list()] == [key.id for key in keys]


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


async def test_an_enclave_that_never_answers_costs_no_more_than_the_deadline(
    fake: FakeEnclave, short_folder: Path
) -> None:
    async def hang(_name: str, _body: Any) -> bytes:
        return await asyncio.Future()

    fake.hook = hang
    with pytest.raises(UnavailableError, match=r"^no answer from the enclave within 0.05 s$"):
        await nitro_rig(short_folder, timeout=0.05).open()


async def test_an_enclave_that_hangs_up_is_not_dialled_in_a_tight_loop(
    fake: FakeEnclave, short_folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def at_once(delay: float) -> float:
        waits.append(delay)
        return 0.0

    monkeypatch.setattr(link, "_spread", at_once)
    vault: Any = await opened(nitro_rig(short_folder))
    for count in range(2, 6):
        for task in tuple(fake._tasks):
            task.cancel()
        await until(partial(_has, fake, count))
        await until(lambda: vault.readiness().ready)
    assert 0.01 in waits


def _has(fake: FakeEnclave, connections: int) -> bool:
    return fake.connections == connections


async def test_a_reset_leaves_the_shifted_connection_and_the_next_signature_is_right(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(nitro_rig(short_folder))
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    stale = FakeKey("Ed25519", bytes(32)).sign(MESSAGE, 2)

    async def one_behind(name: str, _body: Any) -> bytes | None:
        if name != "Sign" or fake.connections > 1:
            return None
        reply = ok(struct(Ed25519=ints(stale)))
        return len(reply).to_bytes(4, "big") + reply

    fake.hook = one_behind
    assert not await signs(vault, key)
    resettable: Resettable = vault
    await resettable.reset("it does not verify")
    assert await signs(vault, key)
    assert fake.connections == 2


async def test_an_enclave_that_always_garbles_is_not_dialled_in_a_tight_loop(
    fake: FakeEnclave, short_folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def at_once(delay: float) -> float:
        waits.append(delay)
        return 0.0

    vault: Any = await opened(nitro_rig(short_folder))
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    monkeypatch.setattr(link, "FIRST", 3.0)
    monkeypatch.setattr(link, "LAST", 99.0)
    monkeypatch.setattr(link, "_spread", at_once)

    async def garble(name: str, _body: Any) -> bytes | None:
        return b"\0\0\0\1\xff" if name == "Sign" else None

    fake.hook = garble
    for _ in range(3):
        with pytest.raises(IntegrityError):
            await signs(vault, key)
        await until(lambda: vault.readiness().ready)
    assert [wait for wait in waits if wait >= 3.0] == [3.0, 6.0, 12.0]


async def test_the_purposes_and_sizes_that_the_enclave_cannot_have_are_refused_before_it_is_asked(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(nitro_rig(short_folder))
    asked = len(fake.requests)
    with pytest.raises(MalformedError, match="in an enclave Ed25519 keys have the purpose tezos"):
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


async def test_a_closed_vault_says_so_to_those_who_wait(fake: FakeEnclave, short_folder: Path) -> None:
    vault = await nitro_rig(short_folder).open()
    assert isinstance(vault, NitroVault)
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    await fake.stop()
    await until(lambda: not vault.readiness().ready)
    waiting = asyncio.create_task(signs(vault, key))
    await asyncio.sleep(0)
    await vault.close()
    with pytest.raises(UnavailableError, match=r"^the vault is closed$"):
        await waiting


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
    found = await driver.credentials(nitro_config(tmp_path))
    assert (found.access_key_id, found.session_token, found.region) == ("AKIDEXAMPLE", None, "us-west-2")
    assert "wJalrXUtnFEMI" not in repr(found)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    found = await driver.credentials(nitro_config(tmp_path, credentials={}))
    assert (found.access_key_id, found.session_token) == ("AKIDENV", "token")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(ConfigError, match=r"^the AWS region of the KMS key is not known$"):
        await driver.credentials(nitro_config(tmp_path, credentials={}, encryption_key_id="alias/signer"))


def damage(folder: Path, index: int, **fields: str) -> None:
    path = folder / "base" / "enclave_keys.json"
    records = json.loads(path.read_text())
    records[index] |= fields
    path.write_text(json.dumps(records))


def test_the_fake_s_blob_holds_the_reference_s_plaintext() -> None:
    assert FakeKey("Ed25519", bytes(32)).seal() == SEAL + bytes.fromhex(
        "a16745643235353139" + "5820" + "00" * 32
    )


# From here on: real processes.


async def test_kill_9_and_a_restart_of_the_real_enclave_heal_without_a_word_from_anyone(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    running = processes.enclave("killed")
    vault: Any = await opened(processes.rig(short_folder, "killed"))
    keys = [await vault.generate(family, Purpose.TEZOS, CALL) for family in (KeyType.ED25519, KeyType.BLS)]
    running.stop(signal.SIGKILL)
    await until(lambda: not vault.readiness().ready)
    processes.enclave("killed")
    assert all([await signs(vault, key) for key in keys])


async def test_a_policy_for_another_image_makes_the_real_vault_not_open_and_says_which_pcr(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    rig = processes.rig(short_folder)
    vault: Any = await opened(rig)
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    await vault.close()
    processes.set_policy(StringEqualsIgnoreCase={"kms:RecipientAttestation:PCR0": "ab" * 48})
    try:
        with pytest.raises(DeniedError, match=r"PCR0 of this enclave is [0-9a-f]{96}"):
            await rig.open()
    finally:
        processes.set_policy()
    again = await opened(rig)
    assert await signs(again, key)


async def test_a_client_that_hangs_up_on_the_slow_real_enclave_shifts_no_reply(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(processes.rig(short_folder))
    keys = [await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL) for _ in range(2)]
    before = processes.calls("kms", "Encrypt")
    processes.tell("kms", do="delay", operation="Encrypt", seconds=0.3)
    try:
        slow = asyncio.create_task(vault.generate(KeyType.P256, Purpose.TEZOS, CALL))
        await until(lambda: processes.calls("kms", "Encrypt") > before)
        slow.cancel()
        assert all([await signs(vault, key) for key in keys])
    finally:
        processes.tell("kms", do="clear")
    assert {key.id for key in await vault.list()} == {key.id for key in keys}


async def test_an_expanded_mldsa_65_key_just_fits_and_its_long_blob_loads_again(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    rig = processes.rig(short_folder)
    vault: Any = await opened(rig)
    pair = keypair.from_secret(KeyType.MLDSA65, bytes(32))
    key = await vault.import_key(keypair.from_secret(KeyType.MLDSA65, pair.expanded), CALL)
    assert key.public_key.data == pair.public
    await vault.close()
    again = await opened(rig)
    signature = await again.sign(key, MESSAGE, LATEST, CALL)
    assert verifies("mldsa65", pair.public, MESSAGE, signature, raw=True)


async def test_two_vaults_share_the_first_one_s_proxy_and_the_second_takes_over(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    daemon = await opened(processes.rig(short_folder))
    command: Any = await opened(processes.rig(short_folder))
    assert command._proxy.served_elsewhere
    await daemon.close()
    await until(lambda: not command._proxy.served_elsewhere)
    key = await command.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    assert await signs(command, key)


async def test_expired_credentials_are_renewed_while_the_old_connection_goes_on_signing(
    processes: Processes, short_folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def use(access: AccessKey) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", access.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", access.secret_access_key)
        monkeypatch.setenv("AWS_SESSION_TOKEN", access.session_token or "")

    first, second = (
        AccessKey(f"ASIA{name}", f"secret of {name}", f"token-{name}") for name in ("FIRST", "SECOND")
    )
    for access in (first, second):
        processes.tell("kms", do="credential", like=ACCESS.access_key_id, **asdict(access))
    rig = processes.rig(short_folder, credentials={})
    use(first)
    daemon = await opened(rig)
    old: Any = await daemon.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    processes.tell("kms", do="expire", access_key_id=first.access_key_id, seconds=0)

    use(second)
    command = await opened(rig)
    new: Any = await command.generate(KeyType.P256, Purpose.TEZOS, CALL)
    use(first)
    await daemon.list()  # the new key is refused, and the environment holds nothing better yet
    assert await signs(daemon, old)
    assert "expired" in daemon.readiness().reason

    use(second)
    async with asyncio.timeout(30):
        while len(await daemon.list()) < 2:
            assert await signs(daemon, old)
    assert await signs(daemon, new)
    assert daemon.readiness() == Readiness(ready=True)
