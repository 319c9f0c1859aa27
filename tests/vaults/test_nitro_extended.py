"""The nitro vault over the extended protocol: pinned images, loading beside signing, credentials in place."""

import asyncio
import json
import logging
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import emulators
import pytest
from emulators import ACCESS, ROOT
from real import Processes
from rigs import CALL, LATEST, MESSAGE, Opened, signs, until

from cli.local.measure import measure
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import IntegrityError, UnavailableError
from signatory.nitro.sigv4 import AccessKey
from vaults.nitro import keeper

pytestmark = pytest.mark.usefixtures("quick_retries")


def registers(processes: Processes) -> dict[str, str]:
    """What the software module must have measured."""
    settings = (processes.folder / "settings.toml").read_bytes()
    found = measure(ROOT, settings, emulators.ROLE, emulators.INSTANCE)
    return {str(index): found[index].hex() for index in (0, 1, 2)}


@pytest.fixture
def own_processes() -> Iterator[Processes]:
    """Some that a test may end."""
    with emulators.short_folder() as folder, Processes(folder).running() as made:
        yield made


async def test_the_image_that_is_named_is_spoken_to_by_registers_or_by_manifest(
    processes: Processes, short_folder: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    pcrs = registers(processes)
    named: Any = await opened(processes.rig(short_folder, protocol="auto", expected_pcrs=pcrs))
    key = await named.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    assert await signs(named, key)
    path = short_folder / "releases.json"
    path.write_text(json.dumps({f"PCR{index}": value for index, value in pcrs.items()}))
    by_manifest: Any = await opened(processes.rig(short_folder, protocol="auto", manifest=str(path)))
    assert await signs(by_manifest, key)
    assert "nothing says which image" not in caplog.text


async def test_where_nothing_pins_an_image_one_warning_says_so(
    processes: Processes, short_folder: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    await opened(processes.rig(short_folder))
    found = [record for record in caplog.records if "nothing says which image" in record.getMessage()]
    assert [record.levelno for record in found] == [logging.WARNING]


@pytest.mark.parametrize("index", ["0", "1", "2"])
async def test_another_image_is_told_no_secret_and_the_register_is_named(
    index: str, processes: Processes, short_folder: Path
) -> None:
    pcrs = registers(processes)
    wrong = pcrs | {index: "ab" * 48}
    with pytest.raises(IntegrityError, match=f"PCR{index}: {pcrs[index]} is of no allowed image"):
        await processes.rig(short_folder, expected_pcrs=wrong).open()


async def test_a_running_vault_whose_enclave_is_exchanged_for_another_image_names_the_register(
    own_processes: Processes, short_folder: Path, opened: Opened
) -> None:
    own = own_processes
    module = own.programs[0]
    running = own.enclave()
    vault: Any = await opened(own.rig(short_folder, expected_pcrs=registers(own)))
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    right = (own.folder / "settings.toml").read_text()
    for settings, ready in (("b = 2\n", False), (right, True)):
        running.stop(signal.SIGKILL)
        module.stop()
        (own.folder / "settings.toml").write_text(settings)
        module = own.run("cli.local.nsm", str(own.folder / "nsm"))
        running = own.enclave()
        if ready:
            await until(lambda: vault.readiness().ready)
        else:
            await until(lambda: "attestation document: PCR0: " in vault.readiness().reason)
            assert not vault.readiness().ready
    assert await signs(vault, key)


async def test_a_key_that_kms_opens_slowly_does_not_hold_up_the_others(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    running = processes.enclave("slow")
    vault: Any = await opened(processes.rig(short_folder, "slow"))
    keys = [await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL) for _ in range(3)]
    processes.tell("kms", do="delay", operation="Decrypt", seconds=8)
    running.stop(signal.SIGKILL)
    await until(lambda: not vault.readiness().ready)
    again = processes.enclave("slow")
    try:
        tasks = [asyncio.create_task(vault.sign(key, MESSAGE, LATEST, CALL)) for key in keys]
        first = asyncio.as_completed(tasks)
        assert [len(await next(first)) for _ in range(2)] == [64, 64]
        assert vault.readiness().ready
        (slow,) = [task for task in tasks if not task.done()]
        slow.cancel()
    finally:
        processes.tell("kms", do="clear")
        await vault.close()
        again.stop()


async def test_keys_of_one_envelope_open_with_one_call_to_kms_whatever_their_number(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    running = processes.enclave("envelope")
    vault: Any = await opened(processes.rig(short_folder, "envelope", sealing="kms-envelope-v1"))
    keys = [await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL) for _ in range(9)]
    running.stop(signal.SIGKILL)
    await until(lambda: not vault.readiness().ready)
    before = processes.calls("kms", "Decrypt")
    again = processes.enclave("envelope")
    assert all([await signs(vault, key) for key in keys])
    assert processes.calls("kms", "Decrypt") == before + 1
    await vault.close()
    again.stop()


@pytest.fixture
def role(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two sets of credentials of one role, the first in the environment; `use` puts one there."""
    made = [AccessKey(f"ASIA{name}", f"secret of {name}", f"token-{name}") for name in ("OLD", "NEW")]
    for access in made:
        processes.tell("kms", do="credential", like=ACCESS.access_key_id, **asdict(access))

    def use(access: AccessKey) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", access.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", access.secret_access_key)
        monkeypatch.setenv("AWS_SESSION_TOKEN", access.session_token or "")

    use(made[0])
    return (*made, use)


async def test_a_birth_that_fails_because_credentials_ended_is_tried_again_with_those_of_now(
    processes: Processes, short_folder: Path, opened: Opened, role: Any
) -> None:
    old, new, use = role
    vault: Any = await opened(processes.rig(short_folder, credentials={}))
    session = vault._link._keeper.session
    processes.tell("kms", do="expire", access_key_id=old.access_key_id, seconds=0)
    with pytest.raises(UnavailableError, match="ExpiredToken"):
        await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    use(new)
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    assert await signs(vault, key)
    assert vault._link._keeper.session is session


async def test_credentials_are_handed_over_anew_before_they_end_on_the_same_connection(
    processes: Processes,
    short_folder: Path,
    opened: Opened,
    role: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old, new, use = role
    monkeypatch.setattr(keeper, "RENEWAL", 0.01)
    caplog.set_level(logging.INFO)
    vault: Any = await opened(processes.rig(short_folder, credentials={}))
    session = vault._link._keeper.session
    use(new)
    await until(lambda: "The enclave has new credentials" in caplog.text)
    processes.tell("kms", do="expire", access_key_id=old.access_key_id, seconds=0)
    before = processes.calls("kms", "GenerateDataKey")
    key = await vault.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    assert processes.calls("kms", "GenerateDataKey") == before + 1
    assert await signs(vault, key)
    assert vault._link._keeper.session is session
