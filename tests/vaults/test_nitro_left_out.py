"""The nitro vault over the extended protocol: a key that cannot be had costs no other one."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from real import Processes
from rigs import CALL, Opened, signs, until

from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import UnavailableError
from signatory.rpc.extended import LoadSealed
from vaults.nitro import keeper
from vaults.nitro.channel import ExtendedClient
from vaults.nitro.speech_extended import OWN_CALLS


async def test_a_key_that_kms_opens_too_late_is_named_and_the_others_sign(
    processes: Processes, short_folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: Any = await opened(processes.rig(short_folder))
    keys = [await first.generate(KeyType.ED25519, Purpose.TEZOS, CALL) for _ in range(4)]
    await first.close()
    monkeypatch.setattr(keeper, "KEYS_FIRST", 30.0)
    processes.tell("kms", do="delay", operation="Decrypt", seconds=6)
    vault: Any = await opened(processes.rig(short_folder, timeout=2))
    (late,) = set(keys) - set(await vault.list())
    assert f"left out: {late.id} was not opened in time" in vault.readiness().reason
    assert all([await signs(vault, key) for key in keys if key is not late])
    with pytest.raises(UnavailableError, match="was not opened in time"):
        await signs(vault, late)
    vault._link._keeper.nudge()
    await until(lambda: not vault.readiness().reason)
    assert await signs(vault, late)


async def test_a_sealed_key_that_is_longer_than_the_enclave_takes_is_named_and_the_others_sign(
    processes: Processes, short_folder: Path, opened: Opened
) -> None:
    rig = processes.rig(short_folder)
    first: Any = await opened(rig)
    key = await first.generate(KeyType.ED25519, Purpose.TEZOS, CALL)
    await first.close()
    name, blob = "tz1burnburnburnburnburnburnburjAYjjX", base64.b64encode(bytes(2_000_000)).decode()
    records = [{"public_key_hash": name, "encrypted_private_key": blob}]
    (rig.context.base_dir / "enclave_keys.json").write_text(json.dumps(records))
    vault: Any = await opened(rig)
    assert list(await vault.list()) == [key]
    assert f"left out: {name} cannot be handed over: the request has " in vault.readiness().reason
    assert await signs(vault, key)


async def test_no_more_keys_are_handed_over_than_kms_calls_fit_into_their_time(
    processes: Processes, short_folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0
    asked = ExtendedClient.call

    async def counted(client: Any, request: Any, *rest: Any, **named: Any) -> Any:
        nonlocal most
        if isinstance(request, LoadSealed):
            most = max(most, 1 + sum(not known.reply.done() for known in client._asked.values()))
        return await asked(client, request, *rest, **named)

    first: Any = await opened(processes.rig(short_folder))
    keys = [await first.generate(KeyType.ED25519, Purpose.TEZOS, CALL) for _ in range(12)]
    await first.close()
    monkeypatch.setattr(ExtendedClient, "call", counted)
    vault: Any = await opened(processes.rig(short_folder))
    assert len(await vault.list()) == len(keys)
    assert most == OWN_CALLS
