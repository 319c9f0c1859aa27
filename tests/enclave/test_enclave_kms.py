"""The way to KMS: pinned TLS, strict HTTP, answers checked; against servers that misbehave."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from emulators import ACCESS, KEY_ARN

from cli.local import laptop_ca
from enclave_signer import nsm
from enclave_signer.entropy import for_key
from enclave_signer.https import MAX_BODY, DispatchError, HttpsChannel
from enclave_signer.kms import AttestationError, KmsSession, Route
from enclave_signer.recipients import Recipient, Recipients, _make
from enclave_signer.roots import pinned_roots, tls_context
from signatory.errors import IntegrityError, UnavailableError
from signatory.net.vsock import Address
from signatory.nitro import nsm as facts
from signatory.nitro.kms import Arn
from signatory.nitro.kms_errors import KmsError

HOST = "kms.localhost"
KEY = Arn.parse(KEY_ARN)
OTHER = Arn.parse(KEY_ARN[:-1] + "c")
Answer = Callable[[bytes], bytes]


@asynccontextmanager
async def tls_server(folder: Path, *answers: bytes | Answer, host: str = HOST) -> AsyncIterator[Address]:
    """A TLS server that answers one request after the other with these bytes.

    It hangs up after the last one, and after one that says so.
    """
    laptop_ca.prepare(folder, host, datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / laptop_ca.CERTIFICATE_FILE, folder / laptop_ca.KEY_FILE)
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while left:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                request = head + await reader.readexactly(size)
                answer = left.pop(0)
                said = answer(request) if callable(answer) else answer
                writer.write(said)
                await writer.drain()
                if b"Connection: close" in said:
                    return
        except (EOFError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield Address("tcp", "127.0.0.1", server.sockets[0].getsockname()[1])


def http(body: bytes, status: int = 200, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    fingerprint = laptop_ca.prepare(tmp_path, HOST, datetime.now(UTC))
    return tls_context(pinned_roots((tmp_path / laptop_ca.CA_FILE).read_bytes(), [fingerprint]))


async def _post(address: Address, context: ssl.SSLContext, host: str = HOST) -> bytes:
    channel = HttpsChannel(address, context, host)
    try:
        return (await channel.post({"Host": host}, b"{}")).body
    finally:
        channel.close()


async def test_an_answer_of_known_length_is_read(tmp_path: Path, context: ssl.SSLContext) -> None:
    async with tls_server(tmp_path, http(b"hello", 200, "Connection: keep-alive")) as address:
        assert await _post(address, context) == b"hello"


async def test_a_connection_is_kept_and_replaced_when_it_went_stale(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    async with tls_server(tmp_path, http(b"1"), http(b"2", 200, "Connection: close"), http(b"3")) as address:
        channel = HttpsChannel(address, context, HOST)
        for expected in (b"1", b"2", b"3"):
            assert (await channel.post({"Host": HOST}, b"{}")).body == expected
        with pytest.raises(DispatchError):
            await channel.post({"Host": HOST}, b"{}")
        channel.close()


async def test_a_server_under_another_root_is_refused(tmp_path: Path, context: ssl.SSLContext) -> None:
    (tmp_path / "other").mkdir()
    async with tls_server(tmp_path / "other", http(b"")) as address:
        with pytest.raises(DispatchError, match=f"{HOST} did not prove who it is") as caught:
            await _post(address, context)
    assert not caught.value.retryable


async def test_a_server_of_another_name_is_refused(tmp_path: Path, context: ssl.SSLContext) -> None:
    async with tls_server(tmp_path, http(b""), host="other.localhost") as address:
        with pytest.raises(DispatchError, match="did not prove who it is: Hostname mismatch"):
            await _post(address, context)


async def test_what_does_not_speak_tls_is_refused(context: ssl.SSLContext) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        with pytest.raises(DispatchError):
            await _post(Address("tcp", "127.0.0.1", server.sockets[0].getsockname()[1]), context)


async def test_a_closed_way_is_said(context: ssl.SSLContext, tmp_path: Path) -> None:
    with pytest.raises(DispatchError, match=r"the way to kms\.localhost is closed: cannot connect to"):
        await _post(Address("unix", str(tmp_path / "none")), context)


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
        f"HTTP/1.1 200 OK\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n".encode(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 20_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000,
        b"",
    ],
)
async def test_a_malformed_answer_is_refused(tmp_path: Path, context: ssl.SSLContext, answer: bytes) -> None:
    async with tls_server(tmp_path, answer) as address:
        with pytest.raises(DispatchError):
            await _post(address, context)


class Module:
    """A module whose documents are the attested public key itself."""

    async def request(self, body: bytes) -> bytes:
        asked = facts.decode_request(body)
        if isinstance(asked, facts.Attestation):
            return facts.encode_reply(asked, asked.public_key)
        return facts.encode_error("InternalError")


@asynccontextmanager
async def session(
    address: Address, context: ssl.SSLContext, module: nsm.Nsm, *, allowed: tuple[Arn, ...] = (KEY,)
) -> AsyncIterator[KmsSession]:
    recipients = Recipients()
    recipients.start()
    route = Route(HOST, HttpsChannel(address, context, HOST), module, recipients, 5.0, 2)
    made = KmsSession(KEY, allowed, ACCESS, route)
    yield made
    made.close()
    await recipients.close()


async def test_a_recipient_key_that_cannot_be_made_is_made_later(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [RuntimeError("can't start new thread")]

    def make() -> Recipient:
        if failures:
            raise failures.pop()
        return _make()

    monkeypatch.setattr("enclave_signer.recipients.PAUSE", 0.0)
    monkeypatch.setattr("enclave_signer.recipients._make", make)
    recipients = Recipients()
    with pytest.raises(UnavailableError, match=r"^no recipient key was ready within 0.01 s$"):
        await recipients.take(0.01)
    recipients.start()
    assert len((await recipients.take(30)).spki) == 294
    await recipients.close()


def encrypted(arn: Arn = KEY) -> bytes:
    return http(json.dumps({"CiphertextBlob": "AQID", "KeyId": str(arn)}).encode())


def refused(name: str, message: str, *headers: str) -> bytes:
    return http(json.dumps({"__type": name, "message": message}).encode(), 400, *headers)


async def _ask(asked: Callable[[KmsSession], Awaitable[bytes]], made: KmsSession) -> bytes:
    return await asked(made)


async def test_an_answer_by_another_key_is_refused(tmp_path: Path, context: ssl.SSLContext) -> None:
    async with tls_server(tmp_path, encrypted(OTHER)) as address, session(address, context, Module()) as kms:
        with pytest.raises(IntegrityError, match="KMS answered with the key"):
            await kms.encrypt(b"x")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"CiphertextBlob": "AQID"}', b'{"CiphertextBlob": "!", "KeyId": "x"}']
)
async def test_an_answer_that_is_none_is_refused(
    tmp_path: Path, context: ssl.SSLContext, body: bytes
) -> None:
    async with tls_server(tmp_path, http(body)) as address, session(address, context, Module()) as kms:
        with pytest.raises(IntegrityError, match="KMS's answer cannot be read"):
            await kms.encrypt(b"x")


@pytest.mark.parametrize("plaintext", [{}, {"Plaintext": None}, {"Plaintext": ""}, {"Plaintext": "AQID"}])
async def test_a_decrypt_without_an_envelope_is_refused(
    tmp_path: Path, context: ssl.SSLContext, plaintext: dict[str, str | None]
) -> None:
    answer = http(json.dumps({"KeyId": KEY_ARN, **plaintext}).encode())
    async with tls_server(tmp_path, answer) as address, session(address, context, Module()) as kms:
        with pytest.raises(IntegrityError, match="CiphertextForRecipient"):
            await kms.decrypt(b"x")


async def test_an_envelope_beside_plaintext_is_refused(tmp_path: Path, context: ssl.SSLContext) -> None:
    body = {"KeyId": KEY_ARN, "Plaintext": "AQID", "CiphertextForRecipient": "AQID"}
    answer = http(json.dumps(body).encode())
    async with tls_server(tmp_path, answer) as address, session(address, context, Module()) as kms:
        with pytest.raises(IntegrityError):
            await kms.decrypt(b"x")


async def test_a_damaged_envelope_has_one_text_whatever_is_wrong(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    texts = set()
    for envelope in (b"\x30\x80", b"\x00" * 500):
        body = {"KeyId": KEY_ARN, "CiphertextForRecipient": base64.b64encode(envelope).decode()}
        answer = http(json.dumps(body).encode())
        async with tls_server(tmp_path, answer) as address, session(address, context, Module()) as kms:
            with pytest.raises(IntegrityError) as caught:
                await kms.decrypt(b"x")
        texts.add(caught.value.message)
    assert len(texts) == 1


@pytest.mark.parametrize(("allowed", "named"), [((KEY,), KEY_ARN), ((KEY, OTHER), None)])
async def test_decrypt_names_the_key_where_only_one_is_allowed_and_always_the_recipient(
    tmp_path: Path, context: ssl.SSLContext, allowed: tuple[Arn, ...], named: str | None
) -> None:
    seen: list[dict[str, object]] = []

    def answer(request: bytes) -> bytes:
        seen.append(json.loads(request.partition(b"\r\n\r\n")[2]))
        return refused("InvalidCiphertextException", "")

    async with (
        tls_server(tmp_path, answer) as address,
        session(address, context, Module(), allowed=allowed) as kms,
    ):
        with pytest.raises(KmsError, match="InvalidCiphertextException"):
            await kms.decrypt(b"x")
    (members,) = seen
    assert members.get("KeyId") == named
    assert members["CiphertextBlob"] == base64.b64encode(b"x").decode()
    recipient = members["Recipient"]
    assert isinstance(recipient, dict)
    assert recipient["KeyEncryptionAlgorithm"] == "RSAES_OAEP_SHA_256"
    # An RSA-2048 public key with exponent 65537 is 294 bytes of SPKI.
    document = base64.b64decode(recipient["AttestationDocument"])
    assert (len(document), document[-5:]) == (294, bytes.fromhex("0203010001"))
    assert "EncryptionContext" not in members


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

    async with tls_server(tmp_path, *[answer] * 3) as address, session(address, context, Module()) as kms:
        assert await kms.encrypt(b"x") == b"\x01\x02\x03"
        assert await kms.encrypt(b"x") == b"\x01\x02\x03"
    assert abs(dates[0] - datetime.now(UTC)) < timedelta(minutes=5)
    assert all(abs(date - theirs) < timedelta(minutes=5) for date in dates[1:])


@pytest.mark.parametrize(
    "header", [[], [f"Date: {format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)}"]]
)
async def test_a_time_that_is_not_told_or_not_believable_changes_nothing(
    tmp_path: Path, context: ssl.SSLContext, header: list[str]
) -> None:
    answer = refused("InvalidSignatureException", "Signature expired: x", *header)
    async with tls_server(tmp_path, answer) as address, session(address, context, Module()) as kms:
        with pytest.raises(KmsError, match="Signature expired"):
            await kms.encrypt(b"x")


async def test_a_connection_that_breaks_is_tried_again(tmp_path: Path, context: ssl.SSLContext) -> None:
    async with (
        tls_server(
            tmp_path, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nx", encrypted()
        ) as address,
        session(address, context, Module()) as kms,
    ):
        assert await kms.encrypt(b"x") == b"\x01\x02\x03"


async def test_a_call_that_is_cancelled_drops_its_connection(tmp_path: Path, context: ssl.SSLContext) -> None:
    asked = asyncio.Event()

    def silent(_: bytes) -> bytes:
        asked.set()
        return b""

    async with (
        tls_server(tmp_path, silent, encrypted()) as address,
        session(address, context, Module()) as kms,
    ):
        call = asyncio.create_task(_ask(lambda made: made.encrypt(b"x"), kms))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        # The next call has a connection of its own: nothing that was meant for the first can meet it.
        assert await kms.encrypt(b"x") == b"\x01\x02\x03"


class Broken:
    """A module that answers anything with the same bytes."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def request(self, body: bytes) -> bytes:
        del body
        return self._body


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff",
        facts.encode_error("InternalError"),
        bytes.fromhex("a16947657452616e646f6da16672616e646f6d40"),
        bytes.fromhex("a16947657452616e646f6da16672616e646f6d5820") + b"\x07" * 32,
        bytes.fromhex("a16947657452616e646f6da16672616e646f6d48") + bytes(range(8)),
    ],
)
async def test_what_is_no_entropy_makes_no_key(answer: bytes) -> None:
    with pytest.raises((UnavailableError, IntegrityError)):
        await for_key(Broken(answer))


async def test_entropy_differs_from_draw_to_draw_and_from_key_to_key() -> None:
    answer = bytes.fromhex("a16947657452616e646f6da16672616e646f6d5840") + bytes(range(64))
    first, second = await for_key(Broken(answer)), await for_key(Broken(answer))
    drawn = [source(32) for source in (first, first, second)]
    assert len(set(drawn)) == 3
    assert {len(each) for each in drawn} == {32}


async def test_without_a_document_there_is_no_decrypt(tmp_path: Path, context: ssl.SSLContext) -> None:
    address = Address("unix", str(tmp_path / "none"))
    async with session(address, context, Broken(facts.encode_error("InputTooLarge"))) as kms:
        with pytest.raises(AttestationError, match="InputTooLarge"):
            await kms.decrypt(b"x")


async def test_a_device_that_is_none_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot open"):
        nsm.open_nsm(str(tmp_path / "nsm"))
    with pytest.raises(UnavailableError, match="the NSM driver failed"):
        await nsm.attest(nsm.open_nsm("/dev/null"), b"key")
    with pytest.raises(UnavailableError, match="cannot connect"):
        await nsm.attest(nsm.open_nsm(f"unix:{tmp_path}/none"), b"key")
