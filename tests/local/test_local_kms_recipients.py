"""The KMS emulator proves a chain once in a while, and each document's signature, age and key every time."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
import pytest
from Crypto.PublicKey import RSA

from cli.local import nsm_chain
from cli.local.faults import Faults
from cli.local.kms_recipients import Recipients
from cli.local.nsm_device import Device, Identity
from signatory.nitro import certchain
from signatory.nitro.kms_errors import KmsError

SPKI = RSA.generate(2048).public_key().export_key("DER")
PCRS = {index: bytes([index + 1]) * 48 for index in range(16)}


class Clock:
    now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nsm_chain.Signer]:
    folder = tmp_path_factory.mktemp("nsm")
    return folder, nsm_chain.open_root(folder, Clock.now)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recipients(root: tuple[Path, Any], clock: Clock) -> Recipients:
    return Recipients(hashlib.sha256((root[0] / "root.der").read_bytes()).digest(), clock)


@pytest.fixture
def device(root: tuple[Path, nsm_chain.Signer], clock: Clock) -> Device:
    return Device(root[1], Identity("us-west-2", "i-0123456789abcdef0", "m"), PCRS, clock, Faults())


def document(device: Device, **fields: Any) -> bytes:
    asked = {"user_data": None, "nonce": None, "public_key": SPKI} | fields
    made: bytes = cbor2.loads(device.answer(cbor2.dumps({"Attestation": asked})))["Attestation"]["document"]
    return made


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """When a chain was proved."""
    times: list[datetime] = []
    prove = certchain.leaf_key

    def counted(*chain: Any, at: datetime, **root: Any) -> Any:
        times.append(at)
        return prove(*chain, at=at, **root)

    monkeypatch.setattr(certchain, "leaf_key", counted)
    return times


def test_many_documents_of_one_chain_prove_it_once(
    recipients: Recipients, device: Device, proofs: list[datetime]
) -> None:
    for _ in range(50):
        found = recipients.recipient(document(device))
        assert (found.public_key, found.pcrs[2]) == (SPKI, PCRS[2])
    assert len(proofs) == 1


def test_it_is_proved_again_after_a_minute_and_when_the_clock_goes_back(
    recipients: Recipients, device: Device, clock: Clock, proofs: list[datetime]
) -> None:
    start = clock.now
    for seconds in (10, 69, 71, 65):
        clock.now = start + timedelta(seconds=seconds)
        recipients.recipient(document(device))
    assert proofs == [start + timedelta(seconds=seconds) for seconds in (10, 71, 65)]


def test_a_proved_chain_is_no_proof_of_a_document(
    recipients: Recipients, device: Device, clock: Clock
) -> None:
    good = document(device)
    recipients.recipient(good)
    for bad in (
        good[:-1] + bytes([good[-1] ^ 1]),
        good.replace(PCRS[0], PCRS[1]),
        good[:-1],
        document(device, public_key=None),
        b"",
    ):
        with pytest.raises(KmsError) as caught:
            recipients.recipient(bad)
        assert caught.value.name == "ValidationException"
    clock.now += timedelta(minutes=6)
    with pytest.raises(KmsError, match="expired"):
        recipients.recipient(good)


def test_a_chain_of_another_root_is_never_proved(device: Device, clock: Clock) -> None:
    other = Recipients(bytes(32), clock)
    for _ in range(2):
        with pytest.raises(KmsError, match="not valid"):
            other.recipient(document(device))
