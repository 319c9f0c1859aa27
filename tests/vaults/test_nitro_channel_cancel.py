"""Calls that are given up: the connection stays good, no late reply meets another call, nothing piles up."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from channels import connected, hold, sign
from fake_extended import Asked, ScriptedEnclave, refusal, reply, signature_of
from waiting import until

from signatory.errors import IntegrityError, UnavailableError
from signatory.rpc.messages import RemoteError
from vaults.nitro.channel import HUNG, ExtendedClient


@pytest.fixture
async def enclave(short_folder: Path) -> AsyncIterator[ScriptedEnclave]:
    made = ScriptedEnclave(short_folder / "s")
    await made.start()
    yield made
    await made.stop()


async def given_up(enclave: ScriptedEnclave, client: ExtendedClient, message: bytes = b"\x03old") -> Asked:
    """A call that came to the enclave, and whose caller is gone."""
    known, cancels = len(enclave.asked), len(enclave.cancelled)
    call = asyncio.create_task(sign(client, message))
    await enclave.until(lambda: len(enclave.asked) > known)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await enclave.until(lambda: len(enclave.cancelled) > cancels)
    return enclave.asked[known]


async def test_a_cancelled_call_tells_the_enclave_and_its_late_reply_meets_nobody(
    enclave: ScriptedEnclave,
) -> None:
    enclave.serve = hold
    client = await connected(enclave)
    old = await given_up(enclave, client)
    assert enclave.cancelled == [1]
    assert enclave.ids == [1, 2]
    fresh = asyncio.create_task(sign(client, b"\x03new"))
    await enclave.until(lambda: len(enclave.asked) == 2)
    old.send(old.signed())
    enclave.asked[1].send(enclave.asked[1].signed())
    assert await fresh == signature_of(b"\x03new")
    assert enclave.asked[1].id == 3
    assert not client._asked
    await client.finish("done")


async def test_a_late_call_says_so_and_leaves_the_connection_open(enclave: ScriptedEnclave) -> None:
    enclave.serve = hold
    client = await connected(enclave)
    with pytest.raises(UnavailableError, match=r"^no answer from the enclave within 0.2 s$") as caught:
        await sign(client, b"\x03late", within=0.2)
    assert caught.value.hint == "the same request may be sent again"
    await enclave.until(lambda: enclave.cancelled == [1])
    late = enclave.asked[0]
    late.send(late.framed(refusal("deadline", "the call's time is over")))
    enclave.serve = lambda asked: asked.send(asked.signed())
    assert await sign(client, b"\x03next") == signature_of(b"\x03next")
    await client.finish("done")


async def test_the_enclave_s_own_end_of_a_call_is_a_refusal(enclave: ScriptedEnclave) -> None:
    enclave.serve = lambda asked: asked.send(asked.framed(refusal("deadline", "the call's time is over")))
    client = await connected(enclave)
    with pytest.raises(RemoteError) as caught:
        await sign(client, b"\x03")
    assert caught.value.chain == ("deadline", "the call's time is over")
    assert not client.closed.is_set()
    await client.finish("done")


WRONG: dict[str, Callable[[Asked], bytes]] = {
    "another digest": lambda old: reply(old.id, bytes(32), {"Ok": {"Ed25519": bytes(64)}}),
    "two replies": lambda old: 2 * old.signed(),
    "a reply to the Cancel": lambda old: reply(old.id + 1, old.digest, {"Ok": None}),
}


@pytest.mark.parametrize("made", WRONG.values(), ids=WRONG)
async def test_a_late_reply_must_be_the_right_one_and_the_only_one(
    enclave: ScriptedEnclave, made: Callable[[Asked], bytes]
) -> None:
    enclave.serve = hold
    client = await connected(enclave)
    old = await given_up(enclave, client)
    waiting = asyncio.create_task(sign(client, b"\x03waits"))
    await enclave.until(lambda: len(enclave.asked) == 2)
    old.send(made(old))
    with pytest.raises(IntegrityError):
        await waiting
    assert client.at_fault
    await client.finish("done")


async def test_a_call_that_was_given_up_keeps_its_place_until_its_reply(enclave: ScriptedEnclave) -> None:
    enclave.in_flight, enclave.serve = 1, hold
    client = await connected(enclave)
    old = await given_up(enclave, client)
    waiting = asyncio.create_task(sign(client, b"\x03waits"))
    with pytest.raises(UnavailableError):
        await sign(client, b"\x03too late", within=0.01)
    assert len(enclave.asked) == 1
    old.send(old.framed(refusal("cancelled")))
    await enclave.until(lambda: len(enclave.asked) == 2)
    enclave.asked[1].send(enclave.asked[1].signed())
    assert await waiting == signature_of(b"\x03waits")
    await client.finish("done")


async def test_an_enclave_that_answers_nothing_after_a_late_call_is_hung(enclave: ScriptedEnclave) -> None:
    enclave.serve = hold
    client = await connected(enclave, patience=0.02)
    waiting = asyncio.create_task(sign(client, b"\x03waits"))
    await given_up(enclave, client)
    with pytest.raises(UnavailableError, match=HUNG):
        await waiting
    assert (client.reason, client.at_fault) == (HUNG, True)
    await client.finish("done")


async def test_an_enclave_that_answers_other_calls_is_not_hung(enclave: ScriptedEnclave) -> None:
    enclave.serve = hold
    client = await connected(enclave)
    await given_up(enclave, client)
    since = client._now()
    enclave.serve = lambda asked: asked.send(asked.signed())
    await sign(client, b"\x03other")
    assert client._heard > since
    client._look(since)
    assert not client.closed.is_set()
    client._look(client._heard)
    assert client.reason == HUNG
    await client.finish("done")


async def test_an_enclave_that_has_answered_what_was_given_up_is_not_hung(enclave: ScriptedEnclave) -> None:
    enclave.serve = hold
    client = await connected(enclave)
    old = await given_up(enclave, client)
    waiting = asyncio.create_task(sign(client, b"\x03waits"))
    await enclave.until(lambda: len(enclave.asked) == 2)
    old.send(old.signed())
    await until(lambda: len(client._asked) == 1)
    client._look(client._now())
    assert not client.closed.is_set()
    enclave.asked[1].send(enclave.asked[1].signed())
    await waiting
    await client.finish("done")


class LateAndShuffled:
    """Answers calls in an order of its own, each once; a cancelled one by its result or by its end."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - an order to replay, no secret
        self.owed: list[Asked] = []

    def __call__(self, asked: Asked) -> None:
        self.owed.append(asked)

    async def run(self, enclave: ScriptedEnclave) -> None:
        while True:
            for _ in range(self.rng.randrange(4)):
                await asyncio.sleep(0)
            if not self.owed:
                enclave.came.clear()
                await enclave.came.wait()
                continue
            asked = self.owed.pop(self.rng.randrange(len(self.owed)))
            gone = asked.id in enclave.cancelled and self.rng.random() < 0.5
            raw = asked.framed(refusal("cancelled")) if gone else asked.signed()
            cut = self.rng.randrange(len(raw))
            asked.send(raw[:cut])
            asked.send(raw[cut:])


async def test_a_thousand_random_cancels_of_64_callers_shift_no_reply_and_keep_one_connection(
    enclave: ScriptedEnclave,
) -> None:
    """The headline: the reference hands out the reply of a cancelled call to the next one."""
    enclave.in_flight = 48
    enclave.serve = order = LateAndShuffled(5)
    answering = asyncio.create_task(order.run(enclave))
    client = await connected(enclave)
    rng = random.Random(7)  # noqa: S311 - an order to replay, no secret
    right = cancelled = most = 0

    async def one(index: int) -> None:
        nonlocal right
        message = b"\x03 %d" % index
        assert await sign(client, message) == signature_of(message)
        right += 1

    for batch in range(60):
        calls = [asyncio.create_task(one(64 * batch + index)) for index in range(64)]
        for call in rng.sample(calls, 24):
            for _ in range(rng.randrange(6)):
                await asyncio.sleep(0)
            cancelled += call.cancel()
            most = max(most, len(client._asked))
        found: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
        assert not [each for each in found if each and not isinstance(each, asyncio.CancelledError)]
    await until(lambda: not client._asked)
    assert cancelled + right == 60 * 64
    assert cancelled > 1000
    assert len(enclave.cancelled) > 300
    assert most <= 48
    assert enclave.connections == 1
    assert enclave.ids == list(range(1, len(enclave.ids) + 1))
    assert not client.closed.is_set()
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)
    await client.finish("done")


async def test_a_storm_of_cancels_leaves_as_many_entries_as_there_are_places(
    enclave: ScriptedEnclave,
) -> None:
    enclave.in_flight, enclave.serve = 8, hold
    client = await connected(enclave)
    for _ in range(50):
        calls = [asyncio.create_task(sign(client, b"\x03")) for _ in range(40)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    await enclave.until(lambda: len(enclave.cancelled) == 8)
    assert len(client._asked) == 8
    assert not client._at_once._waiters
    assert enclave.ids == list(range(1, 17))
    for asked in enclave.asked:
        asked.send(asked.framed(refusal("cancelled")))
    await until(lambda: not client._asked)
    enclave.serve = lambda asked: asked.send(asked.signed())
    assert await sign(client, b"\x03after") == signature_of(b"\x03after")
    await client.finish("done")
