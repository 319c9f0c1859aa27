"""The nitro vault over the extended protocol, when KMS opens one of its keys too late."""

from pathlib import Path
from typing import Any

import pytest
from real import Processes
from rigs import CALL, Opened, signs, until

from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import UnavailableError
from vaults.nitro import keeper


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
