"""The fixtures around the enclave's program; the processes are those of enclave_cloud."""

from collections.abc import AsyncIterator, Iterator

import pytest
from emulators import short_folder
from enclave_cloud import Cloud, Enclave


@pytest.fixture(scope="session")
def _processes() -> Iterator[Cloud]:
    with short_folder() as folder, Cloud(folder).running() as made:
        yield made


@pytest.fixture
async def cloud(_processes: Cloud) -> AsyncIterator[Cloud]:
    """NSM and KMS run and do no harm; the key's policy opens to everyone who is attested."""
    _processes.set_policy()
    for emulator in ("kms", "nsm"):
        _processes.tell(emulator, do="clear")
    yield _processes
    for line in _processes.lines:
        line.close()
    _processes.lines.clear()


@pytest.fixture(scope="session")
def _usual(_processes: Cloud) -> Enclave:
    return _processes.enclave()


@pytest.fixture
def enclave(cloud: Cloud, _usual: Enclave) -> Enclave:
    """An enclave with usual settings, which many tests share."""
    return _usual


@pytest.fixture(scope="session")
def other(_processes: Cloud) -> Enclave:
    """A second enclave with the same settings."""
    return _processes.enclave()
