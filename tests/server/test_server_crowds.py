"""Many clients at once: what they can take together is bounded, and who behaves is served."""

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import Callable

from serving import PAIRS, TRANSACTION, TZ1, ScriptedVault, serving

from signatory.limits import Limits

BODY = json.dumps(TRANSACTION.hex()).encode()


def post(pkh: str, length: int | str, extra: str = "") -> bytes:
    return f"POST /keys/{pkh} HTTP/1.1\r\nHost: t\r\n{extra}Content-Length: {length}\r\n\r\n".encode()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is awaited is the daemon's own state, which has no event
        await asyncio.sleep(0)


async def test_requests_whose_clients_hung_up_still_take_their_places() -> None:
    vault = ScriptedVault(*PAIRS.values())
    vault.gate.clear()
    async with serving(vault, limits=Limits(connections=2)) as running:
        server = running.daemon._listeners[0][1]
        gone = [await running.client() for _ in range(2)]
        for client in gone:
            await client.send(post(TZ1, len(BODY)) + BODY)
        await until(lambda: len(vault.calls) == 2)
        for client in gone:
            await client.close()
        await until(lambda: all(one.transport is None for one in server._own()))
        refused = await running.client()
        assert (await refused.closed()).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        vault.gate.set()
        await until(lambda: not server.connections)
        assert (await running.sign(TZ1, TRANSACTION)).status == 200


async def test_a_client_that_never_ends_its_request_gives_way_to_a_new_one() -> None:
    async with serving(limits=Limits(connections=2)) as running:
        server = running.daemon._listeners[0][1]
        slow = [await running.client() for _ in range(2)]
        for client in slow:
            await client.send(post(TZ1, len(BODY)) + BODY[:5])
        await until(lambda: all(one.reading_since is not None for one in server._own()))
        assert (await running.sign(TZ1, TRANSACTION)).status == 200
        await slow[0].closed()
        await slow[1].send(BODY[5:])
        assert (await slow[1].reply()).status == 200


async def test_a_client_that_just_came_does_not_give_way_to_one_that_is_slow() -> None:
    async with serving(limits=Limits(connections=2)) as running:
        server = running.daemon._listeners[0][1]
        slow = await running.client()
        await slow.send(post(TZ1, len(BODY)) + BODY[:5])
        await until(lambda: any(one.reading_since is not None for one in server._own()))
        fresh = await running.client()
        assert (await running.sign(TZ1, TRANSACTION)).status == 200
        assert (await fresh.ask("POST", f"/keys/{TZ1}", BODY)).status == 200
        await slow.closed()


async def test_long_bodies_together_have_a_limit_that_short_ones_do_not_feel() -> None:
    async with serving(limits=Limits(small_body=1000, bodies=5000)) as running:
        server = running.daemon._listeners[0][1]
        slow = [await running.client() for _ in range(2)]
        for client in slow:
            await client.send(post(TZ1, 5000) + b'"' + b"0" * 1999)
        await until(lambda: server.held == 4000)
        long = json.dumps("00" * 1000).encode()
        reply = await running.ask("POST", f"/keys/{TZ1}", long)
        assert (reply.status, reply.message) == (503, "too many long requests at once")
        assert (await running.sign(TZ1, TRANSACTION)).status == 200
        for client in slow:
            await client.close()
        await until(lambda: not server.held)
        assert (await running.ask("POST", f"/keys/{TZ1}", long)).status == 400


async def test_a_client_of_http_1_0_is_not_told_to_continue() -> None:
    async with serving() as running:
        client = await running.client()
        head = f"POST /keys/{TZ1} HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: {len(BODY)}\r\n\r\n"
        await client.send(head.encode())
        await running.ask("GET", "/authorized_keys")  # so that the daemon waits for the body by now
        await client.send(BODY)
        assert (await client.reply()).status == 200


async def test_every_connection_has_a_file_to_be_and_marks_have_theirs() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        async with serving(limits=Limits(connections=100)) as running:
            clients = [await running.client() for _ in range(100)]
            clients += [await running.client(utility=True) for _ in range(100)]
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 3 * 100
            assert (await clients[0].ask("GET", "/authorized_keys")).status == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_where_few_files_are_allowed_fewer_connections_are_held() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))\n"
        "from signatory.server import descriptors\n"
        "room = descriptors.fitting(1000); print(room, 2 * (room + descriptors.BACKLOG) + 200 < 1024)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["128", "True"]
    assert "128 connections, not 1000" in done.stderr
