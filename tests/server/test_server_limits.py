"""Clients that are slow, greedy or gone, and vaults that hang: nobody else notices."""

import asyncio
import gzip
import json

import pytest
from serving import PAIRS, TRANSACTION, TZ1, TZ2, ScriptedVault, attestation, serving

from signatory.crypto.curves import KeyType
from signatory.limits import Limits

BODY = json.dumps(TRANSACTION.hex()).encode()
QUICK = Limits(read=0.05, write=0.05, request=0.05, linger=0.05, drain=0.05)


def post(pkh: str, length: int | str, extra: str = "") -> bytes:
    return f"POST /keys/{pkh} HTTP/1.1\r\nHost: t\r\n{extra}Content-Length: {length}\r\n\r\n".encode()


async def test_headers_that_never_end_are_cut() -> None:
    async with serving(limits=QUICK) as running:
        client = await running.client()
        await client.send(b"POST /keys/x HTTP/1.1\r\nHost: t\r\nX-A:")
        assert (await client.closed()).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_never_ends_is_408() -> None:
    async with serving(limits=QUICK) as running:
        client = await running.client()
        await client.send(post(TZ1, 100) + b'"03')
        reply = await client.reply()
        assert (reply.status, reply.headers["connection"]) == (408, "close")
        await client.closed()


async def test_chunks_that_never_end_are_408() -> None:
    async with serving(limits=QUICK) as running:
        client = await running.client()
        await client.send(
            f"POST /keys/{TZ1} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\n".encode()
        )
        assert (await client.reply()).status == 408


async def test_a_connection_whose_request_was_refused_by_its_path_alone_may_stay_idle() -> None:
    async with serving(limits=Limits(read=0.02)) as running:
        client = await running.client()
        assert (await client.ask("POST", "/keys/nonsense", b'"03"')).status == 400
        (connection,) = running.daemon._listeners[0][1]._own()
        connection.check(asyncio.get_running_loop().time() + 5)
        assert (await client.ask("GET", "/authorized_keys")).status == 200


async def test_a_connection_that_says_nothing_ends_after_the_idle_time() -> None:
    async with serving(limits=Limits(idle=0.05)) as running:
        client = await running.client()
        assert await client.closed() == b""


async def test_a_body_over_the_limit_is_413_before_it_arrives() -> None:
    async with serving(limits=Limits(body=1000, linger=0.05)) as running:
        client = await running.client()
        await client.send(post(TZ1, 1001))
        assert (await client.reply()).status == 413
        chunked = await running.client()
        await chunked.send(
            f"POST /keys/{TZ1} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        await chunked.send(b"3e9\r\n" + b" " * 1001 + b"\r\n")
        assert (await chunked.reply()).status == 413
        whole = await running.ask("POST", f"/keys/{TZ1}", b" " * 1001)
        assert whole.status == 413
        assert (await running.sign(TZ1, TRANSACTION)).status == 200


async def test_the_default_limit_takes_half_a_mebibyte() -> None:
    async with serving() as running:
        assert (
            await running.ask("POST", f"/keys/{TZ1}", b'"' + b"0" * (512 * 1024 - 2) + b'"')
        ).status == 400
        assert (
            await running.ask("POST", f"/keys/{TZ1}", b'"' + b"0" * (512 * 1024 - 1) + b'"')
        ).status == 413


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\n"
        + b"".join(b"X-%d: %s\r\n" % (row, b"a" * 1000) for row in range(20))
        + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\n"
        + b"".join(b"X-%d: %s\r\n" % (row, b"a" * 1000) for row in range(20)),
    ],
)
async def test_headers_over_the_limit_are_431(head: bytes) -> None:
    async with serving() as running:
        client = await running.client()
        await client.send(head)
        assert (await client.closed()).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /keys/x HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /keys/x HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST /keys/x HTTP/1.1\r\nContent-Length: -3\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET nonsense HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_400_and_closes(data: bytes) -> None:
    async with serving(limits=Limits(linger=0.05)) as running:
        client = await running.client()
        await client.send(data)
        assert (await client.closed()).startswith(b"HTTP/1.1 400 ")
        assert (await running.sign(TZ1, TRANSACTION)).status == 200


async def test_a_broken_chunk_is_400() -> None:
    async with serving(limits=Limits(linger=0.05)) as running:
        client = await running.client()
        await client.send(
            f"POST /keys/{TZ1} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode()
        )
        assert (await client.reply()).status == 400


async def test_a_compressed_body_is_415_and_never_unpacked() -> None:
    bomb = gzip.compress(b'"' + b"0" * 10_000_000 + b'"')
    async with serving() as running:
        reply = await running.ask("POST", f"/keys/{TZ1}", bomb, "Content-Encoding: gzip\r\n")
    assert reply.status == 415


async def test_a_client_that_expects_to_be_told_to_continue_is_told() -> None:
    async with serving() as running:
        client = await running.client()
        await client.send(post(TZ1, len(BODY), "Expect: 100-continue\r\n"))
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(BODY)
        assert (await client.reply()).status == 200
        assert (await running.ask("POST", f"/keys/{TZ1}", BODY, "Expect: wonders\r\n")).status in {200, 417}


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving() as running:
        client = await running.client()
        one, two = (post(pkh, len(BODY)) + BODY for pkh in (TZ1, TZ2))
        await client.send(one + two + b"GET /x HTTP/1.1\r\nHost: t\r\n\r\n")
        replies = [await client.reply() for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 404]
    assert replies[0].value["signature"].startswith("edsig")
    assert replies[1].value["signature"].startswith("spsig")


async def test_http_1_0_is_closed_unless_it_asks_to_stay() -> None:
    async with serving() as running:
        client = await running.client()
        await client.send(b"GET /authorized_keys HTTP/1.0\r\n\r\n")
        assert b"Connection: close\r\n" in await client.closed()
        stays = await running.client()
        await stays.send(b"GET /authorized_keys HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await stays.reply()).headers["connection"] == "keep-alive"


async def test_the_longest_idle_connection_gives_way_to_a_new_one() -> None:
    async with serving(limits=Limits(connections=2)) as running:
        idle = [await running.client() for _ in range(2)]
        for client in idle:
            assert (await client.ask("GET", "/authorized_keys")).status == 200
        await idle[0].ask("GET", "/authorized_keys")
        assert (await running.ask("GET", "/authorized_keys")).status == 200
        assert await idle[1].closed() == b""
        assert (await idle[0].ask("GET", "/authorized_keys")).status == 200


async def test_a_connection_too_many_is_refused_while_all_others_work() -> None:
    vault = ScriptedVault(*PAIRS.values())
    vault.gate.clear()
    async with serving(vault, limits=Limits(connections=1)) as running:
        worker = await running.client()
        await worker.send(post(TZ1, len(BODY)) + BODY)
        await vault.begun.wait()
        refused = await running.client()
        assert (await refused.closed()).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        vault.gate.set()
        assert (await worker.reply()).status == 200


async def test_a_client_that_does_not_read_is_cut_and_holds_no_memory() -> None:
    async with serving(limits=Limits(write=0.05)) as running:
        client = await running.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own transport
        request = b"GET /" + b"a" * 8000 + b"?x HTTP/1.1\r\nHost: t\r\n\r\n"
        (connection,) = running.daemon._listeners[0][1]._own()
        while connection.transport is not None:
            try:
                client.writer.write(request * 32)
                async with asyncio.timeout(0.02):
                    await client.writer.drain()
            except (TimeoutError, ConnectionError):
                await asyncio.sleep(0)
        assert running.daemon._listeners[0][1]._own() in ([], [connection])


async def test_a_hanging_vault_ends_in_503_and_disturbs_nobody() -> None:
    hanging, working = ScriptedVault(PAIRS[KeyType.ED25519]), ScriptedVault(PAIRS[KeyType.SECP256K1])
    hanging.gate.clear()
    async with serving(hanging, working, limits=Limits(request=0.3)) as running:
        stuck = asyncio.create_task(running.sign(TZ1, TRANSACTION))
        await hanging.begun.wait()
        assert (await running.sign(TZ2, TRANSACTION)).status == 200
        reply = await stuck
        metrics = await running.metrics()
    assert (reply.status, reply.message) == (503, "the request was not completed within 0.3 s")
    assert hanging.cancelled == 1
    assert 'vault_sign_request_error_total{chain_id="",code="503",vault="Scripted"} 1\n' in metrics


async def test_a_hanging_block_does_not_hold_the_lock_forever() -> None:
    vault = ScriptedVault(*PAIRS.values())
    vault.gate.clear()
    async with serving(vault, limits=Limits(request=0.2)) as running:
        replies = await asyncio.gather(*(running.sign(TZ1, attestation(3)) for _ in range(3)))
        vault.gate.set()
        again = await running.sign(TZ1, attestation(3))
    assert [reply.status for reply in replies] == [503, 503, 503]
    assert again.status == 200
    assert running.daemon._signer._locks == {}


async def test_a_client_that_hangs_up_gets_nothing_and_the_next_one_its_own_answer() -> None:
    vault = ScriptedVault(*PAIRS.values())
    vault.gate.clear()
    async with serving(vault) as running:
        gone = await running.client()
        await gone.send(post(TZ1, len(BODY)) + BODY)
        await vault.begun.wait()
        await gone.close()
        next_one = asyncio.create_task(running.sign(TZ2, TRANSACTION))
        vault.gate.set()
        reply = await next_one
    assert reply.value["signature"].startswith("spsig")
    assert vault.cancelled == 0
    assert len(vault.signed) == 2
