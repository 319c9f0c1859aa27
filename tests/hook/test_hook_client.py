"""A hook that is asked over real sockets: what it is told, what its answers do, and how it may misbehave."""

import asyncio
import base64
import json
import ssl
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hook_server import (
    Approver,
    Asked,
    FakeHook,
    always,
    base58check,
    hook,
    http,
    payload,
    signed,
    signing,
)
from waiting import until

from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import DeniedError, IntegrityError, SignatoryError, UnavailableError
from signatory.hook.client import CONNECTIONS, MAX_REPLY, HttpHook
from signatory.hook.seam import Question
from signatory.tezos.keys import PublicKey, Signature
from signatory.vault import Call

APPROVER, STRANGER = Approver(1), Approver(2)
KEYS = (PublicKey.parse(APPROVER.public_key),)
STATUS_DIFFERS = "the policy hook reply status must match the HTTP header"
NO_HASH = "policy hook: the reply names no public key hash"
QUESTION = Question("tz1abc", "192.0.2.7", None, b"\x03message")
CALL = Call("id")


async def asked(
    fake: FakeHook,
    keys: tuple[PublicKey, ...] | None = None,
    *,
    times: int = 1,
    timeout: float = 5.0,  # noqa: ASYNC109 - the hook's own
    tls: ssl.SSLContext | None = None,
    call: Call = CALL,
) -> None:
    client = HttpHook(fake.address, keys, timeout=timeout, tls=tls)
    try:
        for _ in range(times):
            await client.ask(QUESTION, call)
    finally:
        await client.close()


async def failure(fake: FakeHook, keys: tuple[PublicKey, ...] | None = None, **more: Any) -> SignatoryError:
    with pytest.raises(SignatoryError) as caught:
        await asked(fake, keys, **more)
    assert fake.address not in str(caught.value) + str(caught.value.hint) + repr(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


async def test_what_the_hook_is_told() -> None:
    async with hook(always(http("204 No Content"))) as fake:
        await asked(fake, times=2)
    first, second = fake.asked
    assert first.lines[0] == "POST /hook?for=test HTTP/1.1"
    headers = dict(line.split(": ", 1) for line in first.lines[1:])
    assert headers["Content-Type"] == "application/json"
    assert headers["Accept-Encoding"] == "identity"
    assert "Transfer-Encoding" not in headers
    assert "Cookie" not in headers
    nonce = first.question["nonce"]
    assert first.body == (
        b'{"request":"A21lc3NhZ2U=","source":"192.0.2.7","public_key_hash":"tz1abc","nonce":"'
        + nonce.encode()
        + b'"}'
    )
    assert len(base64.b64decode(nonce, validate=True)) == 32
    assert second.question["nonce"] != nonce


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "204 No Content", "299 Whatever"])
async def test_an_unsigned_2xx_allows(status: str) -> None:
    async with hook(always(http(status))) as fake:
        await asked(fake)


@pytest.mark.parametrize(
    ("status", "family", "text"),
    [
        ("403 Forbidden", DeniedError, "policy hook: 403 Forbidden"),
        ("400 Bad Request", DeniedError, "policy hook: 400 Bad Request"),
        ("499 Not Today", DeniedError, "policy hook: 499 Not Today"),
        ("404", DeniedError, "policy hook: 404 Not Found"),
        ("500 Internal Server Error", IntegrityError, "policy hook: 500 Internal Server Error"),
        ("503 Service Unavailable", IntegrityError, "policy hook: 503 Service Unavailable"),
        ("304 Not Modified", IntegrityError, "policy hook: 304 Not Modified"),
        ("999 Far", IntegrityError, "policy hook: 999 Far"),
    ],
)
async def test_another_unsigned_status_refuses(status: str, family: type[SignatoryError], text: str) -> None:
    async with hook(always(http(status))) as fake:
        error = await failure(fake)
    assert (type(error), str(error)) == (family, text)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent"])
async def test_a_redirect_is_not_followed(status: str) -> None:
    async def redirect(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(http(status, headers=f"Location: {other.address}\r\n"))

    async with hook(always(http("200 OK"))) as other, hook(redirect) as fake:
        error = await failure(fake)
    assert (type(error), other.asked) == (IntegrityError, [])


async def test_a_signed_yes_allows() -> None:
    async with hook(signing(APPROVER)) as fake:
        await asked(fake, KEYS, times=3)
        await asked(fake, (PublicKey.parse(STRANGER.public_key), *KEYS))


@pytest.mark.parametrize("kind", [KeyType.SECP256K1, KeyType.P256, KeyType.BLS, KeyType.MLDSA44])
async def test_every_family_can_approve(kind: KeyType) -> None:
    pair = keypair.from_secret(kind, bytes(range(1, 33)), purpose=Purpose.TEZOS)
    key = PublicKey(kind, pair.public)

    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        text = json.dumps(payload(asked, APPROVER, public_key_hash=key.id)).encode()
        writer.write(http("200 OK", signed(text, Signature(kind, pair.sign(text)).text)))

    async with hook(script) as fake:
        await asked(fake, (*KEYS, key))
        assert type(await failure(fake, KEYS)) is DeniedError


async def test_the_generic_form_of_a_signature_counts() -> None:
    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        text = json.dumps(payload(asked, APPROVER)).encode()
        generic = base58check("04822b", Signature.parse(APPROVER.sign(text)).data)
        assert generic.startswith("sig")
        writer.write(http("200 OK", signed(text, generic)))

    async with hook(script) as fake:
        await asked(fake, KEYS)


@pytest.mark.parametrize(
    ("status", "changes", "family", "text"),
    [
        ("403 Forbidden", {"error": "address 192.0.2.7 is not allowed"}, DeniedError, None),
        ("403 Forbidden", {}, DeniedError, "policy hook: 403 Forbidden"),
        ("403 Forbidden", {"error": None}, DeniedError, "policy hook: 403 Forbidden"),
        ("500 Internal Server Error", {"error": "broken"}, IntegrityError, "policy hook: broken"),
        ("302 Found", {}, IntegrityError, "policy hook: 302 Found"),
        ("200 OK", {"status": 201}, IntegrityError, STATUS_DIFFERS),
        ("200 OK", {"status": None}, IntegrityError, STATUS_DIFFERS),
        ("403 Forbidden", {"status": 200}, IntegrityError, STATUS_DIFFERS),
        ("200 OK", {"status": 403}, IntegrityError, STATUS_DIFFERS),
        ("200 OK", {"nonce": None}, DeniedError, "nonce mismatch"),
        ("200 OK", {"nonce": ""}, DeniedError, "nonce mismatch"),
        ("200 OK", {"nonce": base64.b64encode(bytes(32)).decode()}, DeniedError, "nonce mismatch"),
        ("200 OK", {"nonce": "!"}, IntegrityError, "policy hook: `nonce` of the reply is not base64"),
        ("200 OK", {"public_key_hash": None}, DeniedError, NO_HASH),
        ("200 OK", {"public_key_hash": "tz1"}, DeniedError, NO_HASH),
        ("200 OK", {"public_key_hash": STRANGER.address}, DeniedError, "public key not found"),
        ("200 OK", {"status": "200"}, IntegrityError, "policy hook: `status` of the reply is not an integer"),
    ],
)  # fmt: skip
async def test_a_signed_reply_that_is_no_yes_refuses(
    status: str, changes: dict[str, Any], family: type[SignatoryError], text: str | None
) -> None:
    async with hook(signing(APPROVER, status, **changes)) as fake:
        error = await failure(fake, KEYS)
    assert (type(error), str(error)) == (family, text or f"policy hook: {changes['error']}")


def tampered(change: Callable[[bytes], bytes]) -> Callable[[bytes, str], bytes]:
    return lambda text, signature: signed(change(text), signature)


@pytest.mark.parametrize(
    ("make", "family", "text"),
    [
        (tampered(lambda text: text + b" "), None, None),  # space around the payload is not part of it
        (tampered(lambda text: b"{ " + text[1:]), DeniedError, "invalid hook reply signature"),
        (tampered(lambda text: text.replace(b": ", b":")), DeniedError, "invalid hook reply signature"),
        (tampered(lambda text: text.replace(b'""', b'"x"')), DeniedError, "invalid hook reply signature"),
        (lambda text, _: signed(text, STRANGER.sign(text)), DeniedError, "invalid hook reply signature"),
        (lambda text, _: signed(text, APPROVER.sign(b"")), DeniedError, "invalid hook reply signature"),
        (lambda text, _: signed(text, ""), IntegrityError, "policy hook: the reply has no signature"),
        (lambda text, _: signed(text, "edsig"), IntegrityError, "policy hook: the reply has no signature"),
        (
            lambda text, _: signed(text, APPROVER.address),
            IntegrityError,
            "policy hook: the reply has no signature",
        ),
        (
            lambda text, signature: signed(text, base58check("0d7365133f", Signature.parse(signature).data)),
            DeniedError,
            "invalid hook reply signature",
        ),
        (lambda *_: b"", IntegrityError, "policy hook: the reply is not well-formed JSON"),
        (lambda *_: b"{}", IntegrityError, "policy hook: the reply has no payload"),
        (lambda *_: b"OK", IntegrityError, "policy hook: the reply is not well-formed JSON"),
        (
            lambda text, signature: signed(text, signature)[:-1] + b',"payload":' + text + b"}",
            IntegrityError,
            "policy hook: the reply is not well-formed JSON",
        ),
        (
            lambda text, signature: signed(text, signature) + b"{}",
            IntegrityError,
            "policy hook: the reply is not well-formed JSON",
        ),
    ],
)
async def test_only_the_very_bytes_that_were_signed_count(
    make: Callable[[bytes, str], bytes], family: type[SignatoryError] | None, text: str | None
) -> None:
    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        inner = json.dumps(payload(asked, APPROVER)).encode()
        writer.write(http("200 OK", make(inner, APPROVER.sign(inner))))

    async with hook(script) as fake:
        if family is None:
            await asked(fake, KEYS)
        else:
            error = await failure(fake, KEYS)
            assert (type(error), str(error)) == (family, text)


async def test_an_answer_to_another_question_does_not_count() -> None:
    kept: list[bytes] = []

    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        text = json.dumps(payload(asked, APPROVER)).encode()
        kept.append(http("200 OK", signed(text, APPROVER.sign(text))))
        writer.write(kept[0])

    async with hook(script) as fake:
        await asked(fake, KEYS)
        assert str(await failure(fake, KEYS)) == "nonce mismatch"


async def test_the_status_is_compared_before_the_nonce_and_the_key_before_the_signature() -> None:
    changes = {"status": 500, "nonce": "", "public_key_hash": ""}
    texts = []

    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await signing(STRANGER, **changes)(asked, writer)

    async with hook(script) as fake:
        for name in ("status", "nonce", "public_key_hash"):
            texts.append(str(await failure(fake, KEYS)))
            del changes[name]
        texts.append(str(await failure(fake, KEYS)))
    assert texts == [
        STATUS_DIFFERS,
        "nonce mismatch",
        NO_HASH,
        "public key not found",
    ]


async def test_a_hook_that_is_not_there_is_unavailable() -> None:
    async with hook(always(b"")) as fake:
        pass
    error = await failure(fake)
    assert (type(error), str(error)) == (UnavailableError, "policy hook: connection refused")


async def test_a_host_without_address_is_unavailable() -> None:
    error = await failure(FakeHook("http://hook.invalid/secret"))
    assert (type(error), str(error)) == (UnavailableError, "policy hook: its host name has no address")


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\n", http("200 OK", b"x" * 10)[:-1], b"HTTP/1.1 100 Continue\r\n\r\n" * 3],
)
async def test_a_hook_that_stays_silent_is_unavailable_in_time(answer: bytes) -> None:
    async with hook(always(answer)) as fake:
        error = await failure(fake, timeout=0.05)
        assert (type(error), str(error)) == (UnavailableError, "policy hook: no answer within 0.05 s")
        error = await failure(fake, call=Call("id", 0.02))
        assert str(error) == "policy hook: no answer within 0.02 s"


async def test_a_hook_that_sends_a_byte_now_and_then_is_unavailable_in_time() -> None:
    async def script(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.005)

    async with hook(script) as fake:
        assert type(await failure(fake, timeout=0.05)) is UnavailableError


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"])
async def test_a_hook_that_hangs_up_is_unavailable(answer: bytes) -> None:
    async def script(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with hook(script) as fake:
        error = await failure(fake)
    text = "policy hook: the connection was lost before the answer"
    assert (type(error), str(error)) == (UnavailableError, text)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_not_http_is_wrong(answer: bytes) -> None:
    async with hook(always(answer)) as fake:
        assert isinstance(await failure(fake, timeout=1.0), IntegrityError | UnavailableError)


@pytest.mark.parametrize("keys", [None, KEYS])
async def test_an_answer_without_end_is_refused(keys: tuple[PublicKey, ...] | None) -> None:
    async def script(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()

    async with hook(script) as fake:
        error = await failure(fake, keys)
    assert (type(error), str(error)) == (IntegrityError, "policy hook: the answer is longer than 65536 bytes")


async def test_the_longest_answer_counts() -> None:
    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        text = json.dumps(payload(asked, APPROVER)).encode()
        body = signed(text, APPROVER.sign(text))
        writer.write(http("200 OK", body + b" " * (MAX_REPLY - len(body))))

    async with hook(script) as fake:
        await asked(fake, KEYS)


async def test_a_compressed_answer_is_not_unpacked() -> None:
    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        text = json.dumps(payload(asked, APPROVER)).encode()
        body = zlib.compress(signed(text, APPROVER.sign(text)))
        writer.write(http("200 OK", body, "Content-Encoding: deflate\r\n"))

    async with hook(script) as fake:
        assert str(await failure(fake, KEYS)) == "policy hook: the reply is not well-formed JSON"


async def test_cookies_are_not_kept() -> None:
    async with hook(always(http("200 OK", headers="Set-Cookie: a=b; Path=/\r\n"))) as fake:
        await asked(fake, times=2)
    assert not any(line.lower().startswith("cookie") for one in fake.asked for line in one.lines)


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hook(always(http("200 OK"))) as proxy, hook(always(http("403 Forbidden"))) as fake:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.address)
        monkeypatch.delenv("no_proxy", raising=False)
        assert str(await failure(fake)) == "policy hook: 403 Forbidden"
        assert proxy.asked == []


async def test_the_words_of_a_status_line_are_cut() -> None:
    async with hook(always(http("403 " + "x" * 5000))) as fake:
        assert len(str(await failure(fake))) < 300


@pytest.mark.parametrize("keys", [None, KEYS])
async def test_the_number_of_connections_is_bounded_and_only_signed_answers_share_one(
    keys: tuple[PublicKey, ...] | None,
) -> None:
    gate = asyncio.Event()

    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await signing(APPROVER)(asked, writer)

    async with hook(script) as fake:
        client = HttpHook(fake.address, keys)
        questions = [asyncio.create_task(client.ask(QUESTION, CALL)) for _ in range(3 * CONNECTIONS)]
        await until(lambda: len(fake.asked) >= CONNECTIONS)
        gate.set()
        await asyncio.gather(*questions)
        for _ in range(5):
            await client.ask(QUESTION, CALL)
        await client.close()
    assert len(fake.asked) == 3 * CONNECTIONS + 5
    assert fake.connections == (len(fake.asked) if keys is None else CONNECTIONS)
    assert fake.most <= CONNECTIONS + (keys is None)  # one that just ended may still be seen


def early(status: str, then: bytes) -> tuple[bytes, bytes]:
    return f"HTTP/1.1 {status}\r\n\r\n".encode(), then


@pytest.mark.parametrize(
    ("first", "more"),
    [
        early("200 OK\r\nContent-Length: 0", http("200 OK")),
        early("200 OK\r\nContent-Length: 0\r\nConnection: keep-alive", http("200 OK")),
        early("204 No Content\r\nContent-Length: 38", http("200 OK")),
    ],
)
async def test_an_unsigned_answer_that_came_before_its_question_allows_nothing(
    first: bytes, more: bytes
) -> None:
    believed = asyncio.Event()

    async def script(_: Asked, writer: asyncio.StreamWriter) -> None:
        if len(fake.asked) > 1:
            writer.write(http("403 Forbidden"))
            return
        writer.write(first)
        await believed.wait()
        writer.write(more)

    async with hook(script) as fake:
        assert await second_answer(fake, None, believed) == "policy hook: 403 Forbidden"


async def test_a_signed_answer_that_is_sent_twice_allows_once() -> None:
    believed = asyncio.Event()

    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if len(fake.asked) > 1:
            await signing(APPROVER, "403 Forbidden", error="no")(asked, writer)
            return
        await signing(APPROVER)(asked, writer)
        await believed.wait()
        await signing(APPROVER)(asked, writer)

    async with hook(script) as fake:
        assert await second_answer(fake, KEYS, believed) == "nonce mismatch"


async def second_answer(fake: FakeHook, keys: tuple[PublicKey, ...] | None, believed: asyncio.Event) -> str:
    """What the second of two questions is refused with, when something arrives between them."""
    client = HttpHook(fake.address, keys)
    try:
        await client.ask(QUESTION, CALL)
        believed.set()
        for _ in range(100):
            await asyncio.sleep(0)  # so that it arrives, where somebody still reads
        with pytest.raises(DeniedError) as caught:
            await client.ask(QUESTION, CALL)
    finally:
        await client.close()
    return str(caught.value)


async def test_a_cancelled_question_ends_its_connection() -> None:
    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if len(fake.asked) > 1:
            await signing(APPROVER)(asked, writer)

    async with hook(script) as fake:
        client = HttpHook(fake.address, KEYS)
        task = asyncio.create_task(client.ask(QUESTION, CALL))
        await until(lambda: bool(fake.asked))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.ask(QUESTION, CALL)
        await client.close()
    assert fake.connections == 2


async def test_a_closed_hook_asks_nobody() -> None:
    async with hook(always(http("200 OK"))) as fake:
        client = HttpHook(fake.address, None)
        await client.ask(QUESTION, CALL)
        await client.close()
        await client.close()
        with pytest.raises(UnavailableError):
            await client.ask(QUESTION, CALL)
        assert len(fake.asked) == 1
