"""Calls under way: their ids, the order of their replies, cancelling, deadlines, how many there may be."""

import asyncio
import hashlib
from typing import Any

import cbor2
import pytest
from enclave_cloud import Cloud, Enclave
from enclave_host import USUAL, Host, RefusedError, refused, verifies

HANGS = 12
"""Seconds: longer than a call to KMS may take, shorter than the emulator is waited for when it ends."""


async def test_signing_by_handle_never_waits_for_kms(cloud: Cloud, enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    born = await host.make()
    before = cloud.calls("kms", "GenerateDataKey")
    cloud.tell("kms", do="delay", operation="GenerateDataKey", seconds=HANGS, times=3)
    waiting = [_generate(host) for _ in range(3)]
    while cloud.calls("kms", "GenerateDataKey") < before + 3:
        signed = await host.sign(0, b"m")
        assert verifies(born["name"]["public_key"], b"m", signed["Ed25519"])
    for identifier in waiting:
        host.call("Cancel", id=identifier)
    assert {await _outcome(host, identifier) for identifier in waiting} == {("cancelled",)}
    assert await host.sign(0, b"after")


async def test_replies_come_in_the_order_in_which_the_calls_are_done(cloud: Cloud, enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    cloud.tell("nsm", do="delay", operation="Attestation", seconds=0.5)
    slow, quick = host.call("Attest", nonce=bytes(16)), host.call("Status")
    assert [(await host.next())[0] for _ in range(2)] == [quick, slow]


@pytest.mark.parametrize("second", [5, 4])
async def test_an_id_that_does_not_rise_ends_the_connection(enclave: Enclave, second: int) -> None:
    host = await Host.ready(enclave)
    host.last = 4
    assert await host.ask("Status")
    host.last = second - 1
    host.call("Status")
    assert await host.line.is_closed()


async def test_an_id_is_used_up_by_a_call_that_cannot_be_read(enclave: Enclave) -> None:
    host = await Host.greet(enclave)
    assert await refused(host.ask("Sign", handle=-1, message=b"", version=255))
    host.last -= 1
    host.call("Status")
    assert await host.line.is_closed()


@pytest.mark.parametrize(
    "call",
    [
        {"Status": {"more": 1}},
        {"Status": None},
        {"Sign": {"handle": 0, "message": "m", "version": 255}},
        {"Sign": {"handle": 0, "message": b"m", "version": 7}},
        {"LoadSealed": {}},
        {"Attest": {"nonce": bytes(15)}},
        {"Attest": {"nonce": bytes(513)}},
        {"Attest": {"nonce": bytes(16), "user_data": b"mine"}},
        {"Checkpoint": {"handle": 0, "sequence": 0, "digest": bytes(31)}},
        {"ProvePossessionOf": {"handle": 0, "public_key": bytes(32)}},
        {"Status": {}, "Sign": {}},
        {},
        [],
        7,
    ],
)
async def test_a_call_that_cannot_be_read_is_answered_under_its_id(enclave: Enclave, call: Any) -> None:
    host = await Host.ready(enclave)
    host.last += 1
    body = cbor2.dumps({"id": host.last, "within": None, "call": call})
    host._asked[host.last] = hashlib.sha256(body).digest()
    host.send(body)
    with pytest.raises(RefusedError):
        await host.reply(host.last)
    assert await host.ask("Status")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"\xa0",
        cbor2.dumps({"Status": {}}),
        cbor2.dumps({"id": -1, "within": None, "call": {"Status": {}}}),
        cbor2.dumps({"id": 2**63, "within": None, "call": {"Status": {}}}),
        cbor2.dumps({"id": "1", "within": None, "call": {"Status": {}}}),
        cbor2.dumps({"id": 9, "call": {"Status": {}}}),
        cbor2.dumps({"id": 9, "within": 1.5, "call": {"Status": {}}}),
        cbor2.dumps({"id": 9, "within": None, "call": {"Status": {}}, "more": 1}),
        cbor2.dumps({"id": 9, "within": None, "call": {"Status": {}}}) + b"\0",
        bytes.fromhex("a3 626964 09 626964 0a 64 63616c6c a1 66537461747573 a0"),
        bytes.fromhex("bf 626964 09 66 77697468696e f6 64 63616c6c a1 66537461747573 a0 ff"),
    ],
)
async def test_a_frame_without_an_id_of_its_own_ends_the_connection(enclave: Enclave, body: bytes) -> None:
    host = await Host.ready(enclave)
    host.send(body)
    assert await host.line.is_closed()
    assert await (await Host.greet(enclave)).ask("Status")


@pytest.mark.parametrize("within", [0, -1, 600_001, "1", True])
async def test_a_time_limit_out_of_range_is_refused(enclave: Enclave, within: Any) -> None:
    host = await Host.greet(enclave)
    with pytest.raises(RefusedError):
        await host.ask("Status", within)


async def test_a_call_whose_time_is_over_is_answered_and_the_connection_goes_on(
    cloud: Cloud, enclave: Enclave
) -> None:
    host = await Host.ready(enclave)
    cloud.tell("kms", do="delay", operation="GenerateDataKey", seconds=HANGS)
    assert await _outcome(host, _generate(host, 1)) == ("deadline", "the call's time is over")
    cloud.tell("kms", do="clear")
    assert (await host.make())["handle"] == 0


async def test_a_cancelled_call_leaves_no_key_and_its_id_stays_used(cloud: Cloud, enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    cloud.tell("nsm", do="delay", operation="Attestation", seconds=HANGS)
    first = _generate(host)
    host.call("Cancel", id=first)
    host.call("Cancel", id=first)
    assert await _outcome(host, first) == ("cancelled",)
    # Nothing is under way with these ids: nothing is answered, nothing is harmed.
    for identifier in (first, 2**62, 0):
        host.call("Cancel", id=identifier)
    cloud.tell("nsm", do="clear")
    assert (await host.ask("Status"))["keys"] == 0
    assert (await host.make())["handle"] == 0
    assert await refused(host.ask("PublicKey", handle=1)) == ("signer error", "invalid handle")


async def test_more_calls_than_welcome_said_are_refused_and_signing_is_not(cloud: Cloud) -> None:
    enclave = cloud.enclave(limits={"in_flight": 2})
    host = await Host.ready(enclave)
    assert host.welcome["in_flight"] == 2
    await host.make()
    cloud.tell("kms", do="delay", operation="GenerateDataKey", seconds=HANGS, times=2)
    waiting = [_generate(host) for _ in range(2)]
    assert await _outcome(host, _generate(host)) == ("too many calls are under way",)
    assert await refused(host.ask("Attest", nonce=bytes(16))) == ("too many calls are under way",)
    assert await host.sign(0, b"m")
    host.call("Cancel", id=waiting[0])
    assert await _outcome(host, waiting[0]) == ("cancelled",)
    cloud.tell("kms", do="clear")
    assert await host.make()


async def test_the_end_of_a_connection_ends_its_calls_and_its_keys(cloud: Cloud) -> None:
    enclave = cloud.enclave(limits={"connections": 1})
    host = await Host.ready(enclave)
    born = await host.make()
    cloud.tell("kms", do="delay", operation="*", seconds=HANGS)
    _generate(host)
    host.line.writer.transport.abort()
    cloud.tell("kms", do="clear")
    other = await _next_place(enclave)
    assert await other.renew() is None
    assert await refused(other.ask("PublicKey", handle=0)) == ("signer error", "invalid handle")
    assert (await other.ask("Status"))["sessions"] == 1
    assert await other.load(born) == {"public_key": {"Ed25519": born["name"]["public_key"]}, "handle": 0}


async def test_the_enclave_ends_cleanly_with_calls_under_way(cloud: Cloud) -> None:
    enclave = cloud.enclave()
    host = await Host.ready(enclave)
    cloud.tell("kms", do="delay", operation="GenerateDataKey", seconds=HANGS)
    before = cloud.calls("kms", "GenerateDataKey")
    _generate(host)
    while cloud.calls("kms", "GenerateDataKey") == before:
        await host.ask("Status")
    code, _, errors = enclave.process.stop()
    assert code == 0
    assert "Traceback" not in errors
    assert await host.line.is_closed()


def _generate(host: Host, within: int | None = None) -> int:
    return host.call("GenerateAttested", within, key_type="Ed25519", **USUAL)


async def _outcome(host: Host, identifier: int) -> tuple[str, ...]:
    return await refused(host.reply(identifier))


async def _next_place(enclave: Enclave) -> Host:
    async with asyncio.timeout(30):
        while True:
            try:
                return await Host.greet(enclave)
            except (ConnectionError, EOFError):
                continue
