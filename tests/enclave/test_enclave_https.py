"""The way to KMS: pinned TLS, strict HTTP, a few connections; against servers that misbehave."""

import asyncio
import ssl
from pathlib import Path

import pytest
from kms_parts import HOST, client_context, http, tls_server

from enclave_signer.channels import Channels
from enclave_signer.https import MAX_BODY, DispatchError, HttpsChannel
from signatory.net.vsock import Address


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    return client_context(tmp_path)


async def _post(address: Address, context: ssl.SSLContext, host: str = HOST) -> bytes:
    channel = HttpsChannel(address, context, host)
    try:
        return (await channel.post({"Host": host}, b"{}")).body
    finally:
        channel.close()


async def test_an_answer_of_known_length_is_read(tmp_path: Path, context: ssl.SSLContext) -> None:
    async with tls_server(tmp_path, http(b"hello", 200, "Connection: keep-alive")) as address:
        assert await _post(address, context) == b"hello"


async def test_a_connection_is_kept_and_replaced_when_it_went_stale(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    async with tls_server(tmp_path, http(b"1"), http(b"2", 200, "Connection: close"), http(b"3")) as address:
        channel = HttpsChannel(address, context, HOST)
        for expected in (b"1", b"2", b"3"):
            assert (await channel.post({"Host": HOST}, b"{}")).body == expected
        with pytest.raises(DispatchError):
            await channel.post({"Host": HOST}, b"{}")
        channel.close()


async def test_a_server_under_another_root_is_refused(tmp_path: Path, context: ssl.SSLContext) -> None:
    (tmp_path / "other").mkdir()
    async with tls_server(tmp_path / "other", http(b"")) as address:
        with pytest.raises(DispatchError, match=f"{HOST} did not prove who it is") as caught:
            await _post(address, context)
    assert not caught.value.retryable


async def test_a_server_of_another_name_is_refused(tmp_path: Path, context: ssl.SSLContext) -> None:
    async with tls_server(tmp_path, http(b""), host="other.localhost") as address:
        with pytest.raises(DispatchError, match="did not prove who it is: Hostname mismatch"):
            await _post(address, context)


async def test_what_does_not_speak_tls_is_refused(context: ssl.SSLContext) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        with pytest.raises(DispatchError):
            await _post(Address("tcp", "127.0.0.1", server.sockets[0].getsockname()[1]), context)


async def test_a_closed_way_is_said(context: ssl.SSLContext, tmp_path: Path) -> None:
    with pytest.raises(DispatchError, match=r"the way to kms\.localhost is closed: cannot connect to"):
        await _post(Address("unix", str(tmp_path / "none")), context)


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
        f"HTTP/1.1 200 OK\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n".encode(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 20_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000,
        b"",
    ],
)
async def test_a_malformed_answer_is_refused(tmp_path: Path, context: ssl.SSLContext, answer: bytes) -> None:
    async with tls_server(tmp_path, answer) as address:
        with pytest.raises(DispatchError):
            await _post(address, context)


class Crowd:
    """A server's side that answers nobody before `enough` requests are there at once."""

    def __init__(self, enough: int) -> None:
        self.now = self.most = 0
        self._enough, self._full = enough, asyncio.Event()

    async def answer(self, _: bytes) -> bytes:
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now == self._enough:
            self._full.set()
        await self._full.wait()
        self.now -= 1
        return http(b"done")


async def test_calls_run_side_by_side_up_to_the_number_of_connections(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    crowd = Crowd(3)
    async with tls_server(tmp_path, *[crowd.answer] * 7) as address:
        channels = Channels(address, context, HOST, 3)

        async def call() -> bytes:
            async with channels.lend() as channel:
                return (await channel.post({"Host": HOST}, b"{}")).body

        assert await asyncio.gather(*[call() for _ in range(7)]) == [b"done"] * 7
        assert crowd.most == 3
        channels.close()


async def test_a_connection_is_with_one_caller_at_a_time_and_comes_back_after_a_failure(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    channels = Channels(Address("unix", str(tmp_path / "none")), context, HOST, 2)

    async def borrow() -> HttpsChannel:
        async with channels.lend() as channel:
            return channel

    async with channels.lend() as first, channels.lend() as second:
        assert first is not second
        third = asyncio.create_task(borrow())
        with pytest.raises(DispatchError, match="is closed"):
            await first.post({"Host": HOST}, b"{}")
        assert not third.done()
    assert await third in {first, second}


async def test_a_call_under_way_leaves_no_connection_open_when_its_session_ends(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    heard, hung_up = asyncio.Event(), asyncio.Event()

    async def silent(_: bytes) -> bytes:
        heard.set()
        await hung_up.wait()
        return b""

    async with tls_server(tmp_path, silent, http(b"late")) as address:
        channels = Channels(address, context, HOST, 1)
        async with channels.lend() as channel:
            call = asyncio.create_task(channel.post({"Host": HOST}, b"{}"))
            await heard.wait()
            channels.close()
            hung_up.set()
            with pytest.raises(DispatchError, match="hung up"):
                await call
            # Another try of the same call opens a connection, which ends with the call.
            assert (await channel.post({"Host": HOST}, b"{}")).body == b"late"
            assert channel._streams is not None
        assert channel._streams is None
