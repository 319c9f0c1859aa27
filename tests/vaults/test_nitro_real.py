"""The nitro vault and real processes, over both protocols: death, denial, slowness, credentials that end."""

import asyncio
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from emulators import ACCESS
from independent import verifies
from real import Processes
from rigs import CALL, LATEST, MESSAGE, Opened, signs, until

from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import (
    DeniedError,
)
from signatory.nitro.sigv4 import AccessKey
from signatory.vault import Readiness

PROTOCOLS = {"reference": "Encrypt", "extended": "GenerateDataKey"}
"""And what KMS is asked when a key is made."""

pytestmark = pytest.mark.usefixtures("quick_retries")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_kill_9_and_a_restart_of_the_real_enclave_heal_without_a_word_from_anyone(
    protocol: str, processes: Processes, short_folder: Path, opened: Opened
) -> None:
    running = processes.enclave("killed")
    vault: Any = await opened(processes.rig(short_folder, "killed", protocol))
    keys = [await vault.generate(family, Purpose.TEZOS, CALL) for family in (KeyType.ED25519, KeyType.BLS)]
    running.stop(signal.SIGKILL)
    await until(lambda: not vault.readiness().ready)
    restarted = processes.enclave("killed")
    assert all([await signs(vault, key) for key in keys])
    restarted.stop()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_policy_for_another_image_makes_the_real_vault_not_open_and_says_which_pcr(
    protocol: str, processes: Processes, short_folder: Path, opened: Opened
) -> None:
    rig = processes.rig(short_folder, protocol=protocol)
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


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_client_that_hangs_up_on_the_slow_real_enclave_shifts_no_reply(
    protocol: str, processes: Processes, short_folder: Path, opened: Opened
) -> None:
    vault: Any = await opened(processes.rig(short_folder, protocol=protocol))
    operation = PROTOCOLS[protocol]
    keys = [await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL) for _ in range(2)]
    before = processes.calls("kms", operation)
    processes.tell("kms", do="delay", operation=operation, seconds=0.3)
    try:
        slow = asyncio.create_task(vault.generate(KeyType.P256, Purpose.TEZOS, CALL))
        await until(lambda: processes.calls("kms", operation) > before)
        slow.cancel()
        assert all([await signs(vault, key) for key in keys])
    finally:
        processes.tell("kms", do="clear")
    assert {key.id for key in await vault.list()} == {key.id for key in keys}


@pytest.mark.parametrize(
    ("protocol", "family"), [("reference", KeyType.MLDSA65), ("extended", KeyType.MLDSA87)]
)
async def test_the_longest_expanded_key_that_a_protocol_can_seal_loads_again(
    protocol: str, family: KeyType, processes: Processes, short_folder: Path, opened: Opened
) -> None:
    rig = processes.rig(short_folder, protocol=protocol)
    vault: Any = await opened(rig)
    pair = keypair.from_secret(family, bytes(32))
    key = await vault.import_key(keypair.from_secret(family, pair.expanded), CALL)
    assert key.public_key.data == pair.public
    await vault.close()
    again = await opened(rig)
    signature = await again.sign(key, MESSAGE, LATEST, CALL)
    assert verifies(family.value, pair.public, MESSAGE, signature, raw=True)


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


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_expired_credentials_are_renewed_while_what_is_loaded_goes_on_signing(
    protocol: str,
    processes: Processes,
    short_folder: Path,
    opened: Opened,
    monkeypatch: pytest.MonkeyPatch,
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
    rig = processes.rig(short_folder, protocol=protocol, credentials={})
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
    await until(lambda: "expired" in daemon.readiness().reason)

    use(second)
    async with asyncio.timeout(30):
        while len(await daemon.list()) < 2:
            assert await signs(daemon, old)
    assert await signs(daemon, new)
    assert daemon.readiness() == Readiness(ready=True)
