"""Calls to KMS that are tried again or not, and the clock that KMS corrects."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from kms_parts import (
    Module,
    client_context,
    encrypted,
    http,
    refused,
    session,
    tls_server,
    to_recipient,
)

from enclave_signer import kms as enclave_kms
from signatory.errors import UnavailableError
from signatory.nitro import nsm as facts
from signatory.nitro.kms_errors import KmsError


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    return client_context(tmp_path)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enclave_kms, "_FIRST_PAUSE", 0.0)


@pytest.mark.parametrize("name", ["ThrottlingException", "KMSInternalException", "KeyUnavailableException"])
async def test_what_may_pass_is_tried_again_with_a_fresh_document(
    tmp_path: Path, context: ssl.SSLContext, name: str
) -> None:
    module, answer = Module(), refused(name, "later")
    async with (
        tls_server(tmp_path, answer, answer, to_recipient(b"\x01" * 32, wrapped=b"w")) as address,
        session(address, context, module, attempts=3) as kms,
    ):
        assert (await kms.generate_data_key({"key_id": "tz1"})).plaintext == b"\x01" * 32
        assert kms.calls == 3
    documents = [request for request in module.asked if isinstance(request, facts.Attestation)]
    assert len(documents) == 3
    assert len({request.public_key for request in documents}) == 1


async def test_tries_are_used_up(tmp_path: Path, context: ssl.SSLContext) -> None:
    answer = refused("ThrottlingException", "later")
    async with tls_server(tmp_path, *[answer] * 9) as address, session(address, context, attempts=4) as kms:
        with pytest.raises(KmsError, match="ThrottlingException"):
            await kms.encrypt(b"x")
        assert kms.calls == kms._route.tries.count == 4


@pytest.mark.parametrize(
    "name",
    [
        "ExpiredTokenException",
        "AccessDeniedException",
        "InvalidCiphertextException",
        "UnrecognizedClientException",
        "NotFoundException",
        "ValidationException",
    ],
)
async def test_what_will_not_pass_is_not_tried_again(
    tmp_path: Path, context: ssl.SSLContext, name: str
) -> None:
    async with (
        tls_server(tmp_path, refused(name, "no"), encrypted()) as address,
        session(address, context) as kms,
    ):
        with pytest.raises(KmsError, match=name):
            await kms.encrypt(b"x")
        assert kms.calls == 1


@pytest.mark.parametrize("minutes", [-40, 40])
async def test_a_wrong_clock_is_set_by_kms_and_the_request_sent_again(
    tmp_path: Path, context: ssl.SSLContext, minutes: int
) -> None:
    theirs = datetime.now(UTC) + timedelta(minutes=minutes)
    dates: list[datetime] = []

    def answer(request: bytes) -> bytes:
        told = request.partition(b"X-Amz-Date: ")[2][:16].decode()
        dates.append(datetime.strptime(told, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC))
        if len(dates) == 1:
            date = f"Date: {format_datetime(theirs, usegmt=True)}"
            return refused("InvalidSignatureException", "Signature expired: x is now earlier than y", date)
        return encrypted()

    async with tls_server(tmp_path, *[answer] * 3) as address, session(address, context) as kms:
        assert await kms.encrypt(b"x") == b"\x01\x02\x03"
        assert await kms.encrypt(b"x") == b"\x01\x02\x03"
        ours = datetime.fromtimestamp(kms.now_ms() / 1000, UTC)
    assert abs(dates[0] - datetime.now(UTC)) < timedelta(minutes=5)
    assert all(abs(date - theirs) < timedelta(minutes=5) for date in [*dates[1:], ours])


async def test_a_try_by_the_corrected_clock_has_a_document_of_its_own(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    module = Module()
    early = refused("InvalidSignatureException", "Signature expired: earlier", _date(timedelta(minutes=9)))
    answer = to_recipient(b"\x01" * 32, wrapped=b"w")
    async with (
        tls_server(tmp_path, early, answer) as address,
        session(address, context, module, attempts=1) as kms,
    ):
        await kms.generate_data_key({"key_id": "tz1"})
    assert sum(isinstance(request, facts.Attestation) for request in module.asked) == 2


def _date(ahead: timedelta) -> str:
    return f"Date: {format_datetime(datetime.now(UTC) + ahead, usegmt=True)}"


@pytest.mark.parametrize(
    ("headers", "bound"),
    [
        ([], timedelta(hours=1)),
        ([_date(timedelta(hours=2))], timedelta(hours=1)),
        ([_date(timedelta(minutes=-20))], timedelta(minutes=10)),
        ([_date(timedelta(minutes=20))], timedelta(0)),
    ],
    ids=["not told", "too far", "too far back for the settings", "the settings allow none"],
)
async def test_a_time_that_is_not_told_or_not_within_the_settings_changes_nothing(
    tmp_path: Path, context: ssl.SSLContext, headers: list[str], bound: timedelta
) -> None:
    answer = refused("InvalidSignatureException", "Signature expired: x", *headers)
    async with (
        tls_server(tmp_path, answer, encrypted()) as address,
        session(address, context, max_skew=bound) as kms,
    ):
        with pytest.raises(KmsError, match="Signature expired"):
            await kms.encrypt(b"x")
        assert abs(kms.now_ms() / 1000 - datetime.now(UTC).timestamp()) < 60


async def test_a_date_that_nobody_asked_for_changes_nothing(tmp_path: Path, context: ssl.SSLContext) -> None:
    answer = http(b'{"__type": "AccessDeniedException", "message": "no"}', 400, _date(timedelta(minutes=30)))
    async with tls_server(tmp_path, answer) as address, session(address, context) as kms:
        with pytest.raises(KmsError):
            await kms.encrypt(b"x")
        assert abs(kms.now_ms() / 1000 - datetime.now(UTC).timestamp()) < 60


async def test_a_connection_that_breaks_is_tried_again(tmp_path: Path, context: ssl.SSLContext) -> None:
    broken = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nx"
    async with tls_server(tmp_path, broken, encrypted()) as address, session(address, context) as kms:
        assert await kms.encrypt(b"x") == b"\x01\x02\x03"


async def test_a_call_that_is_cancelled_drops_its_connection(tmp_path: Path, context: ssl.SSLContext) -> None:
    heard = asyncio.Event()

    def silent(_: bytes) -> bytes:
        heard.set()
        return b""

    async with (
        tls_server(tmp_path, silent, encrypted()) as address,
        session(address, context, connections=1) as kms,
    ):
        call = asyncio.create_task(kms.encrypt(b"x"))
        await heard.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        # The next call has a connection of its own: nothing that was meant for the first can meet it.
        assert await kms.encrypt(b"x") == b"\x01\x02\x03"


async def test_a_kms_that_says_nothing_is_given_up(tmp_path: Path, context: ssl.SSLContext) -> None:
    async def silent(_: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with tls_server(tmp_path, silent) as address, session(address, context, seconds=0.1) as kms:
        with pytest.raises(UnavailableError, match=r"kms\.localhost did not answer within 0\.1 s"):
            await kms.encrypt(b"x")
