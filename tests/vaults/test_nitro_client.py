"""The driver against a reference enclave, byte by byte, and against one that misbehaves."""

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from emulators import KEY_ARN
from fake_enclave import FakeEnclave, FakeKey, data, error, head, ints, ok, struct
from independent import verifies
from rigs import CALL, Opened, nitro_rig

from signatory.crypto.curves import KeyType, Purpose, SigningVersion
from signatory.errors import IntegrityError, UnavailableError
from signatory.net.vsock import Address
from signatory.rpc.messages import Credentials, Import, Imported, Initialize, RemoteError, Sign, Signed
from signatory.vault import Call
from vaults.nitro.client import EnclaveClient, NotSentError

LATEST = SigningVersion.LATEST
SIGN = Sign(0, b"\x03message")
HOLD = b""
"""What a hook gives for "close the connection"."""


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


async def connected(fake: FakeEnclave) -> EnclaveClient:
    return await EnclaveClient.connect(Address("unix", str(fake.path)), 5)


async def test_initialize_is_sent_with_the_reference_s_fields_and_takes_its_null(fake: FakeEnclave) -> None:
    client = await connected(fake)
    await client.call(Initialize(Credentials("AKID", "secret", None, KEY_ARN, "us-west-2")), type(None), 5)
    await client.finish("done")
    assert fake.requests == [
        (
            "Initialize",
            {
                "access_key_id": "AKID",
                "secret_access_key": "secret",
                "session_token": None,
                "encryption_key_id": KEY_ARN,
                "region": "us-west-2",
            },
        )
    ]


@pytest.mark.parametrize("as_bytes", [ints, data], ids=["array of integers", "byte string"])
async def test_a_signature_is_taken_as_array_and_as_byte_string(fake: FakeEnclave, as_bytes: Any) -> None:
    signature = bytes(range(64))

    async def answer(_name: str, _body: Any) -> bytes:
        return frame(ok(struct(Ed25519=as_bytes(signature))))

    fake.hook = answer
    client = await connected(fake)
    assert (await client.call(SIGN, Signed, 5)).signature == signature
    await client.finish("done")


async def test_an_error_keeps_its_whole_chain_and_leaves_the_connection_open(fake: FakeEnclave) -> None:
    client = await connected(fake)
    with pytest.raises(RemoteError) as caught:
        await client.call(SIGN, Signed, 5)
    assert caught.value.chain == ("uninitialized",)

    async def answer(_name: str, _body: Any) -> bytes:
        return frame(error("encryption error", "SDK error", "service error", "AccessDeniedException: no"))

    fake.hook = answer
    with pytest.raises(RemoteError, match=r"^encryption error: SDK error: service error: AccessDeniedExc"):
        await client.call(Import(b"blob"), Imported, 5)
    assert not client.closed.is_set()
    await client.finish("done")


BROKEN = {
    "a truncated frame": (frame(bytes(100))[:50], UnavailableError),
    "four gigabytes": (b"\xff\xff\xff\xff", IntegrityError),
    "a frame of nothing": (bytes(4), IntegrityError),
    "garbage": (frame(b"\xff\xfe\xfd"), IntegrityError),
    "text that is no CBOR": (frame(b"HTTP/1.1 400 Bad Request"), IntegrityError),
    "null where a signature belongs": (frame(bytes.fromhex("a1624f6bf6")), IntegrityError),
    "an empty map": (frame(b"\xa0"), IntegrityError),
    "an error that is null": (frame(struct(Err=b"\xf6")), IntegrityError),
    "a public key where a signature belongs": (frame(ok(struct(Ed25519=data(bytes(32))))), IntegrityError),
    "a signature of another family": (frame(ok(struct(NistP256=data(bytes(64))))), IntegrityError),
    "the same reply twice": (2 * frame(ok(struct(Ed25519=ints(bytes(64))))), None),
    "the end": (HOLD, UnavailableError),
    "half a header": (b"\x00\x00", UnavailableError),
}


@pytest.mark.parametrize(("sent", "expected"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_reply_is_an_error_and_ends_the_connection(
    fake: FakeEnclave, sent: bytes, expected: type[Exception] | None
) -> None:
    async def answer(_name: str, _body: Any) -> bytes:
        if sent in {HOLD, b"\x00\x00"} or len(sent) == 50:
            asyncio.get_running_loop().call_soon(lambda: [task.cancel() for task in fake._tasks])
        return sent

    fake.hook = answer
    client = await connected(fake)
    if expected is None:
        await client.call(SIGN, Signed, 5, key_type=KeyType.ED25519)
    else:
        with pytest.raises(expected):
            await client.call(SIGN, Signed, 5, key_type=KeyType.ED25519)
    async with asyncio.timeout(5):
        await client.closed.wait()
    assert client.reason
    with pytest.raises(NotSentError):
        await client.call(SIGN, Signed, 5)
    await client.finish("done")


async def test_a_frame_that_nobody_asked_for_ends_the_connection(short_folder: Path) -> None:
    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(ok(struct(Ed25519=ints(bytes(64))))))
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(talkative, str(short_folder / "s"))
    client = await EnclaveClient.connect(Address("unix", str(short_folder / "s")), 5)
    async with asyncio.timeout(5):
        await client.closed.wait()
    assert client.reason == "the enclave sent bytes that nobody asked for"
    await client.finish("done")
    server.close()


@dataclass
class Peer:
    """The far end of one connection, for a test to write on: what it writes is in the kernel at once."""

    path: Path
    requests: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
                self.requests += 1
                writer.write(SIGNED)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        self.gone.set()


SIGNED = frame(ok(struct(Ed25519=ints(bytes(64)))))


@pytest.mark.parametrize("unread", [SIGNED, SIGNED[:2], SIGNED[:-1]], ids=["reply", "half header", "part"])
@pytest.mark.parametrize("is_read", [False, True], ids=["in the kernel", "read"])
async def test_a_request_does_not_go_out_where_bytes_of_a_second_reply_lie_unread(
    short_folder: Path, unread: bytes, is_read: bool
) -> None:
    peer = Peer(short_folder / "s")
    server = await asyncio.start_unix_server(peer.serve, str(peer.path))
    client = await EnclaveClient.connect(Address("unix", str(peer.path)), 5)
    await client.call(SIGN, Signed, 5, key_type=KeyType.ED25519)
    peer.writer.write(unread)
    if is_read:
        async with asyncio.timeout(5):
            await client.closed.wait()
    with pytest.raises(NotSentError, match=r"^the enclave sent bytes that nobody asked for$"):
        await client.call(SIGN, Signed, 5, key_type=KeyType.ED25519)
    assert client.at_fault
    assert peer.requests == 1
    await client.finish("done")
    await peer.gone.wait()
    server.close()


async def test_a_late_call_ends_the_connection_unless_it_waited_for_its_turn(
    fake: FakeEnclave,
) -> None:
    asked, release = asyncio.Event(), asyncio.Event()

    async def slow(_name: str, _body: Any) -> bytes:
        asked.set()
        await release.wait()
        return frame(ok(struct(Ed25519=ints(bytes(64)))))

    fake.hook = slow
    client = await connected(fake)
    first = asyncio.create_task(client.call(SIGN, Signed, 30))
    await asked.wait()
    with pytest.raises(UnavailableError, match=r"^no answer from the enclave within 0.01 s$"):
        await client.call(SIGN, Signed, 0.01)
    assert not client.closed.is_set()
    release.set()
    assert (await first).signature == bytes(64)
    release.clear()
    with pytest.raises(UnavailableError, match=r"within 0.01 s"):
        await client.call(SIGN, Signed, 0.01)
    assert client.closed.is_set()
    await client.finish("done")


async def test_a_thousand_random_cancels_over_four_keys_shift_no_reply(
    fake: FakeEnclave, short_folder: Path, opened: Opened
) -> None:
    """The headline: the reference hands out the reply of a cancelled call to the next one."""
    vault: Any = await opened(nitro_rig(short_folder))
    families = (KeyType.ED25519, KeyType.P256, KeyType.SECP256K1, KeyType.ED25519)
    keys = [await vault.generate(family, Purpose.TEZOS, CALL) for family in families]
    rng = random.Random(11)  # noqa: S311 - an order to replay, no secret

    async def slow(name: str, _body: Any) -> None:
        if name == "Sign":
            for _ in range(rng.randrange(8)):
                await asyncio.sleep(0)

    fake.hook = slow
    right = cancelled = 0

    async def one(index: int) -> None:
        nonlocal right
        key = keys[index % 4]
        message = b"\x03 %d" % index
        signature = await vault.sign(key, message, LATEST, Call(str(index), 60))
        assert verifies(key.public_key.type.value, key.public_key.data, message, signature)
        right += 1

    for batch in range(50):
        tasks = [asyncio.create_task(one(64 * batch + index)) for index in range(64)]
        for task in rng.sample(tasks, 20):
            for _ in range(rng.randrange(6)):
                await asyncio.sleep(0)
            cancelled += task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        wrong = [found for found in results if found and not isinstance(found, asyncio.CancelledError)]
        assert not wrong
    assert cancelled + right == 50 * 64
    assert cancelled > 900
    assert fake.connections > 5


def test_the_fake_s_keys_sign_as_the_reference_sheet_says() -> None:
    message = b"text"
    assert FakeKey("Secp256k1", b"\x11" * 32).sign(message, 2).hex() == (
        "03fc8709fd92b8ddfddb902d95c5a7d8ff67384d8aa2ea08ec8ea4560b5bada547e1f3f371e9ee90058067c5f3ca7a67"
        "745cb7e414cba671fb663600cc503a55"
    )
    assert (
        FakeKey("Ed25519", b"\x11" * 32).sign(message, 0).hex().startswith("b35697c14f54d4828d8c6acd533d94bb")
    )
    assert head(0, 255) == b"\x18\xff"


async def test_a_connection_that_was_closed_for_a_late_reply_says_late_and_not_cancelled(
    fake: FakeEnclave,
) -> None:
    never = asyncio.Event()

    async def hang(_name: str, _body: Any) -> bytes:
        await never.wait()
        return b""

    fake.hook = hang
    client = await connected(fake)
    with pytest.raises(UnavailableError, match="no answer from the enclave"):
        await client.call(SIGN, Signed, 0.01)

    assert client.closed.is_set()
    assert client.reason == "no answer from the enclave within 0.01 s"
