"""A greedy parent: what one frame, one connection or a storm of calls costs the enclave and others."""

import os
from typing import Any

import cbor2
import pytest
from enclave_cloud import Cloud, Enclave
from enclave_host import Host, RefusedError, refused

MIB = 1 << 20
NAME = {
    "key_id": "tz1burnburnburnburnburnburnburjAYjjX",
    "key_type": "Ed25519",
    "purpose": "tezos",
    "public_key": b"",
    "version": 1,
    "user_id": None,
}


def framed(*bodies: bytes) -> bytes:
    return b"".join(len(body).to_bytes(4, "big") + body for body in bodies)


@pytest.mark.parametrize("scheme", ["kms-encrypt-v0", "kms-gdk-v1"])
async def test_a_sealed_key_as_long_as_a_frame_costs_no_call_to_kms_and_stays_nowhere(
    cloud: Cloud, enclave: Enclave, scheme: str
) -> None:
    host = await Host.ready(enclave)
    calls, before = (await host.ask("Status"))["kms_calls"], enclave.memory()
    for _ in range(64):
        host.call("LoadSealed", name=NAME, scheme=scheme, blob=os.urandom(MIB - 300))
        await host.line.writer.drain()
    for identifier in range(host.last - 63, host.last + 1):
        (text,) = await refused(host.reply(identifier))
        assert "bytes" in text
    assert (await host.ask("Status"))["kms_calls"] == calls
    assert enclave.memory() - before < 20 * MIB


async def test_twenty_thousand_small_calls_leave_nothing_behind_and_others_are_served(
    enclave: Enclave,
) -> None:
    busy, other = await Host.ready(enclave), await Host.ready(enclave)
    before = enclave.memory()
    for _ in range(20):
        bodies = [busy.envelope("Sign", handle=5, message=b"", version=255) for _ in range(1000)]
        busy.line.writer.write(framed(*bodies))
        assert await other.ask("Status")
        for _ in bodies:
            await busy.next()
    assert enclave.memory() - before < 8 * MIB


async def test_a_storm_of_cancels_has_one_reply_each_and_no_key_too_many(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    born = await host.make(scheme="kms-envelope-v1")
    host, before = await Host.ready(enclave), enclave.memory()
    ends: list[str] = []
    for _ in range(40):
        calls: list[int] = []
        for _ in range(25):
            calls.append(
                host.call("LoadSealed", name=born["name"], scheme="kms-envelope-v1", blob=born["blob"])
            )
            host.last += 1
            host.send(cbor2.dumps({"id": host.last, "within": None, "call": {"Cancel": {"id": calls[-1]}}}))
        ends += [await ended(host, identifier) for identifier in calls]
    assert set(ends) <= {"cancelled", "taken"}
    assert (await host.ask("Status"))["keys"] == ends.count("taken")
    assert await host.load(born, "kms-envelope-v1")
    assert enclave.memory() - before < 8 * MIB


@pytest.mark.parametrize(
    "body",
    [
        b"\x81" * (MIB - 1) + b"\x00",
        b"\xa1\x61a" * (MIB // 3),
        b"\x5b\x00\x00\x7f" + b"\xff" * 5,
        b"\x9b" + b"\xff" * 8,
        b"\xbb" + b"\xff" * 8,
        b"\xc2\x5a\x00\x0f\xff\x00" + b"\xff" * 0x0FFF00,
        b"\x9f" * 1000,
    ],
)
async def test_a_frame_that_promises_or_nests_more_than_it_has_ends_its_connection_alone(
    enclave: Enclave, body: bytes
) -> None:
    host, other = await Host.ready(enclave), await Host.ready(enclave)
    before = enclave.memory()
    host.line.writer.write(framed(body))
    assert await host.line.is_closed()
    assert await other.ask("Status")
    assert enclave.memory() - before < 20 * MIB


async def test_connections_without_a_right_at_kms_have_no_key_of_others_within_reach(
    enclave: Enclave,
) -> None:
    owner = await Host.ready(enclave)
    born = await owner.make(scheme="kms-envelope-v1")
    stranger = await Host.greet(enclave)
    await stranger.renew(secret_access_key="guessed")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("LoadSealed", {"name": born["name"], "scheme": "kms-envelope-v1", "blob": born["blob"]}),
        (
            "GenerateAttested",
            {
                "key_type": "Ed25519",
                "purpose": "tezos",
                "scheme": "kms-envelope-v1",
                "user_id": None,
                "nonce": None,
            },
        ),
    ]
    for name, fields in calls:
        assert "InvalidSignatureException" in ": ".join(await refused(stranger.ask(name, **fields)))
    for name in ("Sign", "PublicKey", "ProvePossession"):
        more = {"message": b"m", "version": 255} if name == "Sign" else {}
        assert "invalid handle" in await refused(stranger.ask(name, handle=born["handle"], **more))
    assert (await stranger.ask("Status"))["keys"] == 0


async def ended(host: Host, identifier: int) -> str:
    try:
        await host.reply(identifier)
    except RefusedError as error:
        return error.chain[0]
    return "taken"
