"""The mem driver: keys from the configuration, and keys that are forgotten."""

from pathlib import Path

import pytest
from rigs import CALL, SECRETS, Opened, Rig, context, mem_rig

from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import ConfigError, MalformedError
from vaults.memory import MemoryVault


async def test_nothing_is_a_vault_without_keys(tmp_path: Path, opened: Opened) -> None:
    configs: tuple[list[str] | None, ...] = (None, [])
    for config in configs:
        vault = await opened(
            Rig("mem", MemoryVault, MemoryVault.Config.model_validate(config), context(tmp_path))
        )
        assert list(await vault.list()) == []


async def test_a_bad_key_is_named_by_its_place_and_not_by_its_text(tmp_path: Path) -> None:
    broken = SECRETS[1][:-1] + "1"
    made = MemoryVault.Config.model_validate([SECRETS[0], broken])
    with pytest.raises(ConfigError, match=r"^vaults\.test\.config\[1\]: ") as caught:
        await MemoryVault.open(made, context(tmp_path))  # type: ignore[arg-type]  # Config is the seam's type
    assert broken not in str(caught.value)
    assert SECRETS[0] not in repr(made)


async def test_every_family_can_be_made_here_raw_too(tmp_path: Path, opened: Opened) -> None:
    vault = await opened(mem_rig(tmp_path))
    assert isinstance(vault, MemoryVault)
    for family in KeyType:
        assert (await vault.generate(family, Purpose.RAW, CALL)).purpose is Purpose.RAW
    with pytest.raises(MalformedError):
        await vault.generate(KeyType.MLDSA65, Purpose.TEZOS, CALL)
    assert len(await vault.list()) == len(SECRETS) + len(KeyType)


async def test_a_closed_vault_has_forgotten(tmp_path: Path) -> None:
    vault = await mem_rig(tmp_path).open()
    await vault.close()
    assert list(await vault.list()) == []
