"""What an enclave may not send after Hello: each ends the connection, and no caller gets anything of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from channels import connected, sign
from fake_extended import Asked, ScriptedEnclave, frame, refusal, reply, signature_of
from hypothesis import given, settings
from hypothesis import strategies as st

from signatory.errors import IntegrityError, SignatoryError, UnavailableError
from signatory.rpc import extended as ext
from vaults.nitro.channel import ExtendedClient
from vaults.nitro.client import NotSentError
from vaults.nitro.line import Line

OK = {"Ok": {"Ed25519": bytes(64)}}


@pytest.fixture
async def enclave(short_folder: Path) -> AsyncIterator[ScriptedEnclave]:
    made = ScriptedEnclave(short_folder / "s")
    await made.start()
    yield made
    await made.stop()


def flipped(digest: bytes) -> bytes:
    return bytes([digest[0] ^ 1]) + digest[1:]


def bent(asked: Asked, **changes: Any) -> bytes:
    return frame(cbor2.dumps({"id": asked.id, "digest": asked.digest, "reply": OK} | changes))


BROKEN: dict[str, Callable[[Asked], bytes]] = {
    "four gigabytes": lambda _: b"\xff\xff\xff\xff",
    "a frame above the limit": lambda _: (1024 * 1024 + 1).to_bytes(4, "big"),
    "a frame of nothing": lambda _: bytes(4),
    "garbage": lambda _: frame(b"\xff\xfe\xfd"),
    "text that is no CBOR": lambda _: frame(b"HTTP/1.1 400 Bad Request"),
    "a reply of the reference protocol": lambda _: frame(cbor2.dumps(OK)),
    "an unknown id": lambda asked: reply(asked.id + 1, asked.digest, OK),
    "id 0": lambda asked: reply(0, asked.digest, OK),
    "a negative id": lambda asked: reply(-1, asked.digest, OK),
    "an id that is a truth value": lambda asked: bent(asked, id=True),
    "a wrong digest": lambda asked: reply(asked.id, flipped(asked.digest), OK),
    "a digest cut short": lambda asked: bent(asked, digest=asked.digest[:31]),
    "no digest": lambda asked: frame(cbor2.dumps({"id": asked.id, "reply": OK})),
    "a field too many": lambda asked: bent(asked, more=None),
    "neither Ok nor Err": lambda asked: bent(asked, reply={"Maybe": None}),
    "Ok and Err": lambda asked: bent(asked, reply={**OK, **refusal("no")}),
    "an error that is null": lambda asked: bent(asked, reply={"Err": None}),
    "an error without a source": lambda asked: bent(asked, reply={"Err": {"message": "no"}}),
    "bytes behind the item": lambda asked: frame(bent(asked)[4:] + b"\xf6"),
    "an indefinite map": lambda asked: frame(b"\xbf" + bent(asked)[5:] + b"\xff"),
    "the same key twice": lambda asked: frame(b"\xa4" + bent(asked)[5:] + cbor2.dumps("id") + b"\x01"),
    "nested to no end": lambda _: frame(b"\x81" * 5000),
}


@pytest.mark.parametrize("made", BROKEN.values(), ids=BROKEN)
async def test_a_broken_reply_is_an_integrity_error_and_ends_the_connection(
    enclave: ScriptedEnclave, made: Callable[[Asked], bytes]
) -> None:
    enclave.serve = lambda asked: asked.send(made(asked))
    client = await connected(enclave)
    with pytest.raises(IntegrityError):
        await sign(client, b"\x03")
    assert client.closed.is_set()
    assert client.at_fault
    assert client.reason
    with pytest.raises(NotSentError):
        await sign(client, b"\x03")
    assert enclave.ids == [1]
    await client.finish("done")


async def test_all_who_wait_learn_that_the_enclave_sent_what_cannot_be(enclave: ScriptedEnclave) -> None:
    enclave.serve = lambda _asked: None
    client = await connected(enclave)
    calls = [asyncio.create_task(sign(client, b"\x03 %d" % index)) for index in range(3)]
    await enclave.until(lambda: len(enclave.asked) == 3)
    one, two, _ = enclave.asked
    one.send(one.signed() + reply(two.id, one.digest, OK))
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert found[0] == signature_of(b"\x03 0")
    assert [type(each) for each in found[1:]] == [IntegrityError, IntegrityError]
    assert "another question than call 2 asked" in client.reason
    await client.finish("done")


@pytest.mark.parametrize("others", [0, 1], ids=["nobody waiting", "another call waiting"])
async def test_a_second_reply_to_a_call_ends_the_connection(enclave: ScriptedEnclave, others: int) -> None:
    enclave.serve = lambda _asked: None
    client = await connected(enclave)
    calls = [asyncio.create_task(sign(client, b"\x03 %d" % index)) for index in range(1 + others)]
    await enclave.until(lambda: len(enclave.asked) == 1 + others)
    first = enclave.asked[0]
    first.send(2 * first.signed())
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert found[0] == signature_of(b"\x03 0")
    assert all(type(each) is IntegrityError for each in found[1:])
    async with asyncio.timeout(30):
        await client.closed.wait()
    assert client.at_fault
    await client.finish("done")


async def test_a_replayed_reply_to_an_equal_question_is_refused(enclave: ScriptedEnclave) -> None:
    """The id is part of what is digested: no two calls of a connection have the same digest."""
    client = await connected(enclave)
    await sign(client, b"\x03 same")
    old = enclave.asked[0].signed()
    enclave.serve = lambda asked: asked.send(old)
    with pytest.raises(IntegrityError, match="call 1, which waits for no answer"):
        await sign(client, b"\x03 same")
    await client.finish("done")


@pytest.mark.parametrize(
    "unasked", [b"\x00", frame(b"\xf6"), reply(1, bytes(32), OK)], ids=["byte", "frame", "reply"]
)
async def test_bytes_that_nobody_asked_for_end_an_idle_connection(
    enclave: ScriptedEnclave, unasked: bytes
) -> None:
    client = await connected(enclave)
    await sign(client, b"\x03")
    enclave.asked[0].send(unasked)
    async with asyncio.timeout(30):
        await client.closed.wait()
    assert client.reason == "the enclave sent bytes that nobody asked for"
    assert client.at_fault
    await client.finish("done")


@pytest.mark.parametrize(("sent", "text"), [(0, "connection$"), (2, "middle"), (20, "middle")])
async def test_an_end_instead_of_a_reply_is_unavailable_for_all_who_wait(
    enclave: ScriptedEnclave, sent: int, text: str
) -> None:
    enclave.serve = lambda _asked: None
    client = await connected(enclave)
    calls = [asyncio.create_task(sign(client, b"\x03 %d" % index)) for index in range(3)]
    await enclave.until(lambda: len(enclave.asked) == 3)
    enclave.asked[0].send(enclave.asked[0].signed()[:sent])
    enclave.asked[0].writer.close()
    for each in await asyncio.gather(*calls, return_exceptions=True):
        assert type(each) is UnavailableError
    assert client.at_fault
    with pytest.raises(NotSentError, match=text):
        await sign(client, b"\x03")
    await client.finish("done")


class Wire(asyncio.Transport):
    """Keeps what is written; there is nobody at the other end."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


WELCOME = ext.Welcome(bytes(32), bytes(32), 8, 65536, (), reference_protocol=False, release="0")


async def end_of_two_calls(chunks: list[bytes]) -> tuple[ExtendedClient, list[Any]]:
    line, wire = Line(), Wire()
    line._transport = wire
    client = ExtendedClient(line, WELCOME, bytes(32), 30)
    calls = [asyncio.create_task(sign(client, b"\x03 %d" % index)) for index in range(2)]
    await asyncio.sleep(0)
    assert len(client._asked) == 2
    for chunk in chunks:
        if not wire.aborted:
            line.data_received(chunk)
    if not client.closed.is_set():
        line.eof_received()
    assert wire.aborted
    return client, await asyncio.gather(*calls, return_exceptions=True)


PIECES = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=40).map(frame),
    st.builds(
        reply,
        st.integers(-1, 4),
        st.binary(min_size=32, max_size=32),
        st.one_of(st.just(OK), st.just(refusal("no")), st.none()),
    ),
)


@settings(max_examples=300)
@given(chunks=st.lists(PIECES, max_size=4))
def test_whatever_bytes_come_without_the_right_digest_nobody_gets_a_reply(chunks: list[bytes]) -> None:
    client, results = asyncio.run(end_of_two_calls(chunks))
    assert all(type(each) in {IntegrityError, UnavailableError} for each in results)
    assert all(isinstance(each, SignatoryError) for each in results)
    assert client.at_fault
