"""Which protocol a connection speaks, and what an enclave, or whoever stands between, cannot talk us into."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from emulators import KEY_ARN
from fake_enclave import FakeEnclave
from fake_extended import ScriptedEnclave, frame, refusal
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import IntegrityError, SignatoryError, UnavailableError
from signatory.net.vsock import Address
from signatory.rpc.messages import Credentials, Initialize
from vaults.nitro.channel import ExtendedClient
from vaults.nitro.client import EnclaveClient
from vaults.nitro.negotiation import DowngradeError, Protocol, _read, connect

UNKNOWN = 'Semantic(None, "unknown variant `Hello`, expected one of `Initialize`, `Import`")'
INITIALIZE = Initialize(Credentials("AKID", "secret", None, KEY_ARN, "us-west-2"))


@pytest.fixture
async def enclave(short_folder: Path) -> AsyncIterator[ScriptedEnclave]:
    made = ScriptedEnclave(short_folder / "s")
    await made.start()
    yield made
    await made.stop()


async def dial(
    path: Path, protocol: Protocol = Protocol.AUTO, *, once: bool = False, within: float = 30
) -> EnclaveClient | ExtendedClient:
    return await connect(Address("unix", str(path)), within, protocol, once_extended=once)


@pytest.mark.parametrize("protocol", [Protocol.AUTO, Protocol.EXTENDED])
async def test_a_hello_has_a_version_and_a_fresh_nonce_and_its_welcome_is_kept(
    enclave: ScriptedEnclave, protocol: Protocol
) -> None:
    clients = [await dial(enclave.path, protocol) for _ in range(2)]
    nonces = set()
    for client, hello in zip(clients, enclave.hellos, strict=True):
        assert isinstance(client, ExtendedClient)
        nonce = cbor2.loads(hello)["Hello"]["nonce"]
        assert cbor2.loads(hello) == {"Hello": {"version": 1, "nonce": nonce}}
        assert len(nonce) == 32
        nonces.add(nonce)
        assert client.welcome.session_key == enclave.session_key.public_key().public_bytes_raw()
        assert (client.welcome.in_flight, client.welcome.frame_limit) == (64, 65536)
        await client.finish("done")
    assert len(nonces) == 2


async def test_the_reference_protocol_sends_no_hello(fake: FakeEnclave) -> None:
    client = await dial(fake.path, Protocol.REFERENCE, once=True)
    assert isinstance(client, EnclaveClient)
    await client.call(INITIALIZE, type(None), 30)
    assert fake.hellos == 0
    await client.finish("done")


async def test_auto_goes_on_with_the_reference_protocol_on_the_same_connection_and_warns(
    fake: FakeEnclave, caplog: pytest.LogCaptureFixture
) -> None:
    client = await dial(fake.path)
    assert isinstance(client, EnclaveClient)
    await client.call(INITIALIZE, type(None), 30)
    assert (fake.hellos, fake.connections) == (1, 1)
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert f"unix:{fake.path} does not know the extended protocol" in record.getMessage()
    await client.finish("done")


async def test_a_vault_that_was_extended_once_never_falls_back(fake: FakeEnclave) -> None:
    with pytest.raises(DowngradeError, match="which this vault spoke before") as caught:
        await dial(fake.path, once=True)
    assert isinstance(caught.value, IntegrityError)
    assert "enclave_protocol: reference" in (caught.value.hint or "")


@pytest.mark.parametrize("once", [False, True])
async def test_extended_alone_names_an_enclave_that_is_too_old_and_what_to_set(
    fake: FakeEnclave, once: bool
) -> None:
    with pytest.raises(UnavailableError, match=r"^the enclave speaks the reference protocol only$") as caught:
        await dial(fake.path, Protocol.EXTENDED, once=once)
    assert "enclave_protocol: reference" in (caught.value.hint or "")


def changed(hello: bytes, enclave: ScriptedEnclave, **changes: Any) -> bytes:
    fields = cbor2.loads(enclave.welcome(hello))["Ok"] | changes
    return frame(cbor2.dumps({"Ok": fields}))


Bend = Callable[[ScriptedEnclave, bytes], bytes]
NO_FALLBACK: dict[str, Bend] = {
    "the end": lambda _, __: b"",
    "half a header": lambda _, __: b"\x00\x00",
    "half a Welcome": lambda enclave, hello: frame(enclave.welcome(hello))[:40],
    "garbage": lambda _, __: frame(b"\xff\xfe"),
    "a frame of nothing": lambda _, __: bytes(4),
    "four gigabytes": lambda _, __: b"\xff\xff\xff\xff",
    "text": lambda _, __: frame(b"unknown variant `Hello`"),
    "another error": lambda _, __: frame(cbor2.dumps(refusal("uninitialized"))),
    "another variant": lambda _, __: frame(cbor2.dumps(refusal("unknown variant `Goodbye`"))),
    "the words in a source": lambda _, __: frame(cbor2.dumps(refusal("RPC error", UNKNOWN))),
    "the words in a Welcome": lambda enclave, hello: changed(hello, enclave, release=UNKNOWN, version=0),
    "the words in a Welcome that is wrong": lambda enclave, hello: changed(
        hello, enclave, release=UNKNOWN[:64], nonce=b""
    ),
    "the words beside an Ok": lambda _, __: frame(cbor2.dumps({"Ok": None, **refusal(UNKNOWN)})),
    "the words as a text": lambda _, __: frame(cbor2.dumps({"Err": UNKNOWN})),
    "the words under another name": lambda _, __: frame(cbor2.dumps({"Error": refusal(UNKNOWN)["Err"]})),
    "the words and bytes behind them": lambda _, __: frame(cbor2.dumps(refusal(UNKNOWN)) + b"\xf6"),
    "the words and another frame": lambda _, __: frame(cbor2.dumps(refusal(UNKNOWN))) + frame(b"\xf6"),
    "no message": lambda _, __: frame(cbor2.dumps({"Err": {"source": refusal(UNKNOWN)["Err"]}})),
    "null": lambda _, __: frame(cbor2.dumps({"Err": None})),
}


@pytest.mark.parametrize("protocol", [Protocol.AUTO, Protocol.EXTENDED])
@pytest.mark.parametrize("bend", NO_FALLBACK.values(), ids=NO_FALLBACK)
async def test_nothing_but_the_one_refusal_leads_to_the_reference_protocol(
    enclave: ScriptedEnclave, bend: Bend, protocol: Protocol
) -> None:
    def bent(hello: bytes) -> bytes:
        raw = bend(enclave, hello)
        if len(raw) < 5 or raw == frame(enclave.welcome(hello))[:40]:
            asyncio.get_running_loop().call_soon(lambda: [task.cancel() for task in enclave._tasks])
        return raw

    enclave.bend = bent
    with pytest.raises(SignatoryError) as caught:
        await dial(enclave.path, protocol)
    assert caught.value.kind in {"unavailable", "integrity"}
    assert not isinstance(caught.value, DowngradeError)
    assert "reference protocol only" not in caught.value.message


async def test_silence_after_a_hello_is_no_fallback(enclave: ScriptedEnclave) -> None:
    enclave.bend = lambda _hello: b""
    with pytest.raises(UnavailableError, match=r"^no answer from the enclave to Hello within 0.3 s$"):
        await dial(enclave.path, within=0.3)


async def test_bytes_before_a_hello_are_refused(short_folder: Path) -> None:
    async def talkative(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(cbor2.dumps(refusal(UNKNOWN))))
        writer.write(frame(cbor2.dumps(refusal(UNKNOWN))))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(talkative, str(short_folder / "t"))
    with pytest.raises(SignatoryError) as caught:
        await dial(short_folder / "t")
    assert caught.value.kind in {"integrity", "unavailable"}
    server.close()


async def test_nobody_at_the_address_is_unavailable(short_folder: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot connect"):
        await dial(short_folder / "nobody")


BAD_WELCOMES: dict[str, dict[str, Any]] = {
    "a nonce too short": {"nonce": bytes(31)},
    "another version": {"version": 2},
    "a key too short": {"session_key": bytes(31)},
    "no place for a call": {"in_flight": 0},
    "too many places": {"in_flight": 65537},
    "a limit too low": {"frame_limit": 4095},
    "a truth value for a number": {"in_flight": True},
    "schemes that are no texts": {"schemes": [1]},
    "a field too many": {"more": 1},
}


@pytest.mark.parametrize("changes", BAD_WELCOMES.values(), ids=BAD_WELCOMES)
async def test_a_welcome_that_is_not_right_is_an_integrity_error(
    enclave: ScriptedEnclave, changes: dict[str, Any]
) -> None:
    enclave.bend = lambda hello: changed(hello, enclave, **changes)
    with pytest.raises(IntegrityError):
        await dial(enclave.path)


async def test_a_welcome_may_come_byte_by_byte(short_folder: Path) -> None:
    made = ScriptedEnclave(short_folder / "s")

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(4), "big")
        for byte in frame(made.welcome(await reader.readexactly(size))):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(slow, str(made.path))
    client = await dial(made.path)
    assert isinstance(client, ExtendedClient)
    await client.finish("done")
    server.close()


async def test_bytes_behind_a_welcome_are_refused(enclave: ScriptedEnclave) -> None:
    enclave.bend = lambda hello: frame(enclave.welcome(hello)) + b"\x00"
    with pytest.raises(IntegrityError, match="bytes that nobody asked for"):
        await dial(enclave.path)


@pytest.mark.parametrize("protocol", list(Protocol))
async def test_a_caller_that_gives_up_leaves_no_connection_behind(
    enclave: ScriptedEnclave, protocol: Protocol
) -> None:
    enclave.bend = lambda _hello: b""
    dialling = asyncio.create_task(dial(enclave.path, protocol))
    if protocol is Protocol.REFERENCE:
        await (await dialling).finish("done")
    else:
        await enclave.until(lambda: len(enclave.hellos) == 1)
        dialling.cancel()
        await asyncio.gather(dialling, return_exceptions=True)
    async with asyncio.timeout(30):
        await asyncio.gather(*enclave._tasks)


@given(body=st.binary(max_size=200))
def test_any_bytes_as_a_welcome_are_a_refusal_of_ours(body: bytes) -> None:
    with pytest.raises(SignatoryError) as caught:
        _read(body, Protocol.AUTO, once_extended=False)
    assert caught.value.kind in {"integrity", "unavailable"}
