"""How a connection of the extended protocol ends: retired, closed, or found dead before it is used."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from channels import connected, hold, sign
from fake_extended import ScriptedEnclave, signature_of

from signatory.errors import UnavailableError
from vaults.nitro.client import NotSentError


@pytest.fixture
async def enclave(short_folder: Path) -> AsyncIterator[ScriptedEnclave]:
    made = ScriptedEnclave(short_folder / "s")
    await made.start()
    yield made
    await made.stop()


async def test_a_retired_connection_answers_what_is_under_way_and_takes_nothing_new(
    enclave: ScriptedEnclave,
) -> None:
    enclave.in_flight, enclave.serve = 2, hold
    client = await connected(enclave)
    under_way = [asyncio.create_task(sign(client, b"\x03 %d" % index)) for index in range(2)]
    waiting = [asyncio.create_task(sign(client, b"\x03later")) for _ in range(5)]
    await enclave.until(lambda: len(enclave.asked) == 2)
    retiring = asyncio.create_task(client.retire("it was replaced"))
    for call in waiting:
        with pytest.raises(NotSentError, match=r"^it was replaced$"):
            await call
    with pytest.raises(NotSentError, match=r"^it was replaced$"):
        await sign(client, b"\x03new")
    assert not client.closed.is_set()
    for asked in enclave.asked:
        asked.send(asked.signed())
    assert await asyncio.gather(*under_way) == [signature_of(b"\x03 0"), signature_of(b"\x03 1")]
    await retiring
    assert (client.reason, client.at_fault) == ("it was replaced", False)
    assert len(enclave.asked) == 2
    await client.finish("done")


async def test_a_call_on_a_connection_that_is_closing_was_not_sent(enclave: ScriptedEnclave) -> None:
    enclave.serve = hold
    client = await connected(enclave)
    under_way = asyncio.create_task(sign(client, b"\x03"))
    await enclave.until(lambda: len(enclave.asked) == 1)
    transport = client._line._transport
    assert transport is not None
    transport.abort()
    with pytest.raises(NotSentError):
        await sign(client, b"\x03later")
    with pytest.raises(UnavailableError):
        await under_way
    await client.finish("done")


async def test_an_idle_connection_and_one_whose_callers_left_retire_at_once(enclave: ScriptedEnclave) -> None:
    enclave.serve = hold
    idle, left = await connected(enclave), await connected(enclave)
    await idle.retire("replaced")
    call = asyncio.create_task(sign(left, b"\x03"))
    await enclave.until(lambda: len(enclave.asked) == 1)
    retiring = asyncio.create_task(left.retire("replaced"))
    await asyncio.sleep(0)
    assert not left.closed.is_set()
    call.cancel()
    await retiring
    for client in (idle, left):
        assert (client.reason, client.at_fault) == ("replaced", False)
        await client.finish("done")


async def test_closing_fails_those_who_wait_for_a_reply_and_sends_those_who_wait_for_a_place_elsewhere(
    enclave: ScriptedEnclave,
) -> None:
    enclave.in_flight, enclave.serve = 1, hold
    client = await connected(enclave)
    sent = asyncio.create_task(sign(client, b"\x03sent"))
    waiting = [asyncio.create_task(sign(client, b"\x03waits")) for _ in range(20)]
    await enclave.until(lambda: len(enclave.asked) == 1)
    await client.finish("the vault is closed")
    results = await asyncio.gather(sent, *waiting, return_exceptions=True)
    assert type(results[0]) is UnavailableError
    assert {type(found) for found in results[1:]} == {NotSentError}
    assert {str(found) for found in results} == {"the vault is closed"}
    assert not client.at_fault


@pytest.mark.parametrize("unread", [b"", b"\x00", b"\x00\x00\x00\x01\xf6"], ids=["end", "half", "frame"])
async def test_nothing_is_sent_where_the_end_or_unasked_bytes_lie_unread(
    enclave: ScriptedEnclave, unread: bytes
) -> None:
    client = await connected(enclave)
    await sign(client, b"\x03x")
    found = enclave.asked[0].writer.get_extra_info("socket")
    with socket.socket(fileno=socket.dup(found.fileno())) as raw:
        if unread:
            raw.send(unread)
        else:
            raw.shutdown(socket.SHUT_RDWR)
        with pytest.raises(NotSentError):
            await sign(client, b"\x03y")
    assert client.at_fault
    assert enclave.ids == [1]
    await client.finish("done")
