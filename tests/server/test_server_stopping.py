"""The end of the daemon: what was begun is finished, what comes then is told so and not signed."""

import asyncio
import json

import pytest
from reloads import until
from serving import PAIRS, TRANSACTION, TZ1, TZ4, ScriptedVault, attestation, serving

from signatory.limits import Limits

BODY = json.dumps(TRANSACTION.hex()).encode()


def post(pkh: str) -> bytes:
    return f"POST /keys/{pkh} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()


async def test_a_stopping_daemon_finishes_what_was_begun_and_takes_nothing_new() -> None:
    vault = ScriptedVault(*PAIRS.values())
    vault.gate.clear()
    async with serving(vault) as running:
        idle = await running.client()
        await idle.ask("GET", "/authorized_keys")
        working = asyncio.create_task(running.sign(TZ1, attestation(1)))
        await vault.begun.wait()
        place = running.daemon.addresses[0]
        stopping = asyncio.create_task(running.daemon.stop())
        assert await idle.closed() == b""
        health = await running.ask("GET", "/healthz", utility=True)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(place.host, place.port)
        vault.gate.set()
        assert (await working).status == 200
        await stopping
    assert (health.status, health.body) == (503, b'{"ready":false}\n')
    assert vault.closed == 1


@pytest.mark.parametrize(
    ("asked", "body", "status"),
    [("POST /keys", BODY, 503), ("GET /bls_prove_possession", None, 503), ("GET /keys", None, 200)],
)
async def test_a_request_that_came_in_the_moment_of_the_stop_is_answered_and_not_signed(
    asked: str, body: bytes | None, status: int
) -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault, tezos=f"  {TZ4}: {{allow_proof_of_possession: true}}\n") as running:
        client = await running.client()
        await client.ask("GET", "/authorized_keys")
        (connection,) = running.daemon._listeners[0][1]._own()
        reply = asyncio.create_task(client.ask(*f"{asked}/{TZ4}".split(), body))
        await until(lambda: connection.reading_since is not None)  # it is here, and nobody looked at it yet
        await running.daemon.stop()
        assert (await reply).status == status
        assert await client.closed() == b""
    assert status == 200 or reply.result().message == "the daemon is stopping"
    assert vault.calls == []


async def test_a_body_that_is_under_way_at_the_stop_is_not_waited_for() -> None:
    vault = ScriptedVault(*PAIRS.values())
    async with serving(vault) as running:
        client = await running.client()
        await client.send(post(TZ1) + BODY[:-1])
        (connection,) = running.daemon._listeners[0][1]._own()
        await until(lambda: connection.reading_body)
        await running.daemon.stop()
        assert await client.closed() == b""
    assert vault.calls == []


async def test_a_request_that_outlives_the_drain_is_cut() -> None:
    vault = ScriptedVault(*PAIRS.values())
    vault.gate.clear()
    async with serving(vault, limits=Limits(drain=0.05)) as running:
        client = await running.client()
        await client.send(post(TZ1) + BODY)
        await vault.begun.wait()
        await running.daemon.stop()
        assert await client.closed() == b""
    assert vault.signed == []
    assert vault.cancelled == 1
