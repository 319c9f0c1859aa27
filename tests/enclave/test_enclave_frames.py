"""The stream of an extended connection: how frames may come, and what a slow or greedy host gets."""

from typing import Any

import pytest
from enclave_cloud import Cloud, Enclave
from enclave_host import Host, err, hello, verifies


async def test_calls_may_come_one_byte_at_a_time_or_several_at_once(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    body = host.envelope("Status")
    for byte in len(body).to_bytes(4, "big") + body:
        host.line.writer.write(bytes([byte]))
        await host.line.writer.drain()
    assert (await host.reply(host.last))["keys"] == 0
    bodies = [host.envelope("Status") for _ in range(3)]
    host.line.writer.write(b"".join(len(body).to_bytes(4, "big") + body for body in bodies))
    assert [(await host.next())[0] for _ in bodies] == [host.last - 2, host.last - 1, host.last]


async def test_hello_and_the_first_calls_may_come_in_one_write(enclave: Enclave) -> None:
    line, greeting = await enclave.line(), hello(bytes(32))
    host = Host(line, greeting, b"")
    call = host.envelope("Status")
    line.writer.write(b"".join(len(body).to_bytes(4, "big") + body for body in (greeting, call)))
    host.answered = await line.read()
    assert (await host.reply(1))["keys"] == 0


async def test_a_length_of_4_gib_ends_the_connection_and_costs_no_memory(enclave: Enclave) -> None:
    await Host.greet(enclave)
    before = enclave.memory()
    for _ in range(20):
        host = await Host.ready(enclave)
        host.line.writer.write(b"\xff\xff\xff\xff" + bytes(1000))
        assert await host.line.is_closed()
    assert enclave.memory() - before < 20_000_000
    line = await enclave.line()
    line.writer.write(b"\xff\xff\xff\xff" + hello(bytes(32)))
    assert "longer than the limit of 65536" in err(await line.read())
    assert await line.is_closed()


async def test_the_limit_of_a_frame_grows_with_credentials(enclave: Enclave) -> None:
    host = await Host.ready(enclave)
    born = await host.make()
    message = b"\x07" * 500_000
    signed = await host.sign(0, message)
    assert verifies(born["name"]["public_key"], message, signed["Ed25519"])
    host.line.writer.write((2**20 + 1).to_bytes(4, "big"))
    assert await host.line.is_closed()
    host = await Host.greet(enclave)
    host.line.writer.write((2**16 + 1).to_bytes(4, "big"))
    assert await host.line.is_closed()


@pytest.mark.parametrize("part", ["00", "000000", "0000000ca169"])
async def test_a_stream_that_ends_inside_a_frame_ends_only_its_session(enclave: Enclave, part: str) -> None:
    host = await Host.ready(enclave)
    host.line.writer.write(bytes.fromhex(part))
    host.line.writer.write_eof()
    assert await host.line.is_closed()
    assert await (await Host.ready(enclave)).make()


async def test_slow_and_silent_hosts_keep_no_place_and_working_ones_may_idle(cloud: Cloud) -> None:
    enclave = cloud.enclave(limits={"read_timeout": 0.2})
    ready = await Host.ready(enclave)
    silent, slow = await Host.greet(enclave), await Host.ready(enclave)
    slow.line.writer.write(bytes.fromhex("0000000ca169"))
    waiting = await Host.greet(enclave)
    cloud.tell("nsm", do="delay", operation="Attestation", seconds=1)
    attested = waiting.call("Attest", nonce=bytes(16))
    assert await silent.line.is_closed()
    assert await slow.line.is_closed()
    assert (await waiting.reply(attested))["document"]
    assert await ready.ask("Status")


@pytest.mark.parametrize(
    ("name", "fields"),
    [("Sign", {"handle": 0, "message": b"m", "version": 255}), ("Attest", {"nonce": bytes(16)})],
)
async def test_a_host_that_takes_no_replies_is_cut_off(
    cloud: Cloud, name: str, fields: dict[str, Any]
) -> None:
    enclave = cloud.enclave(limits={"read_timeout": 0.2})
    host = await Host.ready(enclave)
    await host.make("MlDsa87", purpose="raw")
    host.line.reader._transport.pause_reading()  # type: ignore[attr-defined]  # what a host without a reader does
    with pytest.raises(ConnectionError):
        await _ask_without_end(host, name, fields)
    assert enclave.process.poll() is None
    assert await (await Host.ready(enclave)).ask("Status")


async def test_a_busy_host_leaves_time_for_others(enclave: Enclave) -> None:
    busy, other = await Host.ready(enclave), await Host.ready(enclave)
    await busy.make("Bls")
    bodies = [busy.envelope("Sign", handle=0, message=b"m", version=255) for _ in range(300)]
    busy.line.writer.write(b"".join(len(body).to_bytes(4, "big") + body for body in bodies))
    await busy.next()
    assert await other.ask("Status")
    # The other's answer came while the busy one's calls were still being worked on.
    assert len(busy._asked) > 100
    for _ in bodies[1:]:
        await busy.next()


async def test_status_counts(cloud: Cloud) -> None:
    enclave = cloud.enclave(release="1.2.3-test")
    host = await Host.ready(enclave)
    before = await host.ask("Status")
    uptime = before.pop("uptime")
    assert before == {"release": "1.2.3-test", "sessions": 1, "keys": 0, "kms_calls": 0}
    await host.make()
    await enclave.session()
    after = await host.ask("Status")
    assert (after["sessions"], after["keys"], after["kms_calls"]) == (2, 1, 1)
    assert after["uptime"] >= uptime >= 0
    assert host.welcome["release"] == "1.2.3-test"


async def _ask_without_end(host: Host, name: str, fields: dict[str, Any]) -> None:
    while True:
        host.call(name, **fields)
        await host.line.writer.drain()
