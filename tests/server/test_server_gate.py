"""What is refused before anything is routed: headers that are too many, web pages, a request never read."""

import pytest
from serving import PAIRS, TRANSACTION, TZ1, ScriptedVault, attestation, serving

from signatory.limits import Limits

ID = b"X-Request-Id: "


def many(count: int, size: int = 1) -> bytes:
    return b"".join(b"a: %s\r\n" % (b"b" * size) for _ in range(count))


@pytest.mark.parametrize("utility", [False, True])
async def test_headers_may_be_many_as_long_as_they_are_short(utility: bool) -> None:
    path = b"/healthz" if utility else f"/keys/{TZ1}".encode()
    async with serving() as running:
        client = await running.client(utility=utility)
        await client.send(b"GET " + path + b" HTTP/1.1\r\nHost: t\r\n" + many(2000) + b"\r\n")
        assert (await client.reply()).status == 200


@pytest.mark.parametrize("utility", [False, True])
@pytest.mark.parametrize("headers", [many(5000), many(3000, 10), many(20, 1000), many(1, 20_000)])
async def test_headers_over_the_limit_are_431_on_both_listeners(utility: bool, headers: bytes) -> None:
    path = b"/healthz" if utility else f"/keys/{TZ1}".encode()
    async with serving(limits=Limits(linger=0.05)) as running:
        client = await running.client(utility=utility)
        await client.send(b"GET " + path + b" HTTP/1.1\r\nHost: t\r\n" + headers + b"\r\n")
        reply = await client.closed()
    assert reply.startswith(b"HTTP/1.1 431 ")
    assert reply.count(ID) == 1


async def test_trailers_without_end_are_413() -> None:
    async with serving(limits=Limits(headers=1000, body=1000)) as running:
        client = await running.client()
        head = f"POST /keys/{TZ1} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\n"
        await client.send(head.encode())
        await running.ask("GET", "/authorized_keys")  # so that the daemon waits for the body by now
        await client.send(b"0\r\n" + many(10, 400))
        assert (await client.closed()).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("PUT", f"/keys/{TZ1}"), ("OPTIONS", f"/keys/{TZ1}"), ("GET", "//keys"),
     ("GET", "/authorized_keys"), ("GET", "/known_keys"), ("POST", "/keys/nonsense")],
)  # fmt: skip
async def test_a_web_page_learns_nothing_of_any_path(method: str, path: str) -> None:
    async with serving(server="  refuse_origin: true") as running:
        reply = await running.ask(method, path, None, "Origin: http://evil\r\n")
    assert (reply.status, reply.message) == (403, "requests from web pages are refused")


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/nothing"])
async def test_a_web_page_is_refused_by_the_utility_listener_too(path: str) -> None:
    async with serving(server="  refuse_origin: true") as running:
        assert (await running.ask("GET", path, None, "Origin: null\r\n", utility=True)).status == 403
        assert (await running.ask("GET", "/healthz", utility=True)).status == 200
    async with serving() as running:
        assert (await running.ask("GET", path, None, "Origin: null\r\n", utility=True)).status != 403


async def test_what_is_cut_before_it_is_read_has_a_request_id() -> None:
    vault = ScriptedVault(*PAIRS.values())
    vault.gate.clear()
    async with serving(vault, limits=Limits(connections=1, read=0.05)) as running:
        slow = await running.client()
        await slow.send(b"POST /keys/x HTTP/1.1\r\nHost: t\r\nX-A:")
        late = await slow.closed()
        long = await running.client()
        await long.send(b"GET / HTTP/1.1\r\nHost: t\r\n" + many(20, 1000))
        cut = await long.closed()
        worker = await running.client()
        await worker.send(b"POST /keys/%s HTTP/1.1\r\nHost: t\r\n" % TZ1.encode())
        body = b'"%s"' % TRANSACTION.hex().encode()
        await worker.send(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await vault.begun.wait()
        full = await (await running.client()).closed()
        vault.gate.set()
        await worker.reply()
    replies = (late, cut, full)
    assert [reply.split()[1] for reply in replies] == [b"408", b"431", b"503"]
    assert len({reply.partition(ID)[2].partition(b"\r\n")[0] for reply in replies} - {b""}) == 3


async def test_a_request_that_waits_too_long_for_its_turn_is_no_violation_of_a_hook() -> None:
    vault = ScriptedVault(*PAIRS.values())
    vault.gate.clear()
    async with serving(vault, limits=Limits(request=0.3)) as running:
        first, second = await running.client(), await running.client()
        for client in (first, second):
            body = b'"%s"' % attestation(3).hex().encode()
            head = f"POST /keys/{TZ1} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n"
            await client.send(head.encode() + body)
        assert [(await client.reply()).status for client in (first, second)] == [503, 503]
        metrics = await running.metrics()
    assert "policy_violation_total{" not in metrics
