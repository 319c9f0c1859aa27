"""Fixtures of the vault tests; what they are made of is in rigs.py and fake_enclave.py."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import emulators
import pytest
from fake_enclave import FakeEnclave
from real import Processes
from rigs import Opened, Rig

from signatory.vault import Vault
from vaults.nitro import keeper


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with emulators.short_folder() as folder:
        yield folder


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A nitro vault tries again at once."""
    for name in ("FIRST", "KEYS_FIRST", "LAST", "KEYS_LAST"):
        monkeypatch.setattr(keeper, name, 0.01)


@pytest.fixture
async def fake(short_folder: Path) -> AsyncIterator[FakeEnclave]:
    """A reference enclave at `enclave.sock`."""
    enclave = FakeEnclave(short_folder / "enclave.sock")
    await enclave.start()
    yield enclave
    await enclave.stop()


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    """KMS and NSM, and one enclave that many tests share."""
    with emulators.short_folder() as folder, Processes(folder).running() as made:
        made.enclave()
        yield made


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Open rigs that are closed after the test."""
    vaults: list[Vault] = []

    async def open_one(rig: Rig) -> Vault:
        vaults.append(await rig.open())
        return vaults[-1]

    yield open_one
    for vault in vaults:
        await vault.close()
