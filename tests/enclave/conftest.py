"""The fixtures around the enclave's program; the processes are those of enclave_cloud."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from enclave_cloud import Cloud, Enclave, set_policy, start_kms, start_nsm


@pytest.fixture(scope="session")
def _processes() -> Iterator[Cloud]:
    folder = Path(tempfile.mkdtemp(prefix="sv-"))
    made = Cloud(folder)
    try:
        start_nsm(made)
        start_kms(made)
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


@pytest.fixture
async def cloud(_processes: Cloud) -> AsyncIterator[Cloud]:
    """NSM and KMS run and do no harm; the key's policy opens to everyone who is attested."""
    set_policy(_processes, Null={"kms:RecipientAttestation:PCR0": "false"})
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
