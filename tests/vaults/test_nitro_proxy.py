"""The proxy: a byte pipe that loses nothing, refuses what it must, and is shared."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from rigs import until

from signatory.errors import UnavailableError
from signatory.net.vsock import Address
from vaults.nitro.proxy import Proxy, ProxyLimits

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Far = Callable[[Handler], Awaitable[int]]


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    """A server on loopback with this handler; its port."""
    open_ones = 0
    async with contextlib.AsyncExitStack() as stack:

        async def start(handler: Handler) -> int:
            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                nonlocal open_ones
                open_ones += 1
                with contextlib.suppress(OSError):
                    await handler(reader, writer)
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
                open_ones -= 1

            server = await asyncio.start_server(handle, "127.0.0.1", 0)
            stack.callback(server.close)
            return int(server.sockets[0].getsockname()[1])

        yield start
        await until(lambda: open_ones == 0)


@contextlib.asynccontextmanager
async def proxied(folder: Path, port: int, **limits: float) -> AsyncIterator[Proxy]:
    proxy = Proxy(
        Address("unix", str(folder / "p")),
        ("localhost", port),
        ProxyLimits(**limits),  # type: ignore[arg-type]
    )
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()


async def dial(folder: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_unix_connection(str(folder / "p"))


async def echoed(folder: Path, data: bytes) -> bytes:
    reader, writer = await dial(folder)
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def echo_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers only after the other side has half-closed."""
    data = await reader.read()
    writer.write(data)
    writer.close()


async def test_a_half_close_passes_and_the_answer_to_it_arrives_whole(short_folder: Path, far: Far) -> None:
    body = bytes(range(256)) * 4096
    async with proxied(short_folder, await far(echo_at_the_end)):
        reader, writer = await dial(short_folder)
        writer.write(body)
        writer.write_eof()
        assert await reader.read() == body
        writer.close()


async def test_the_end_of_the_far_side_reaches_a_client_that_keeps_its_own_side_open(
    short_folder: Path, far: Far
) -> None:
    async def say_and_go(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.close()

    async with proxied(short_folder, await far(say_and_go)):
        reader, writer = await dial(short_folder)
        assert await reader.read() == b"bye"
        writer.close()


async def test_a_far_side_that_refuses_closes_the_client_and_the_next_one_is_served(
    short_folder: Path, far: Far, caplog: pytest.LogCaptureFixture
) -> None:
    gone = await asyncio.start_server(echo_at_the_end, "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    await gone.wait_closed()
    async with proxied(short_folder, port) as proxy:
        reader, writer = await dial(short_folder)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        assert f"cannot reach localhost:{port}" in caplog.text
        proxy.remote = ("127.0.0.1", await far(echo_at_the_end))
        reader, writer = await dial(short_folder)
        writer.write(b"again")
        writer.write_eof()
        assert await reader.read() == b"again"
        writer.close()


async def test_the_name_is_resolved_for_every_connection(
    short_folder: Path, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def resolve(host: object, port: object, **rest: object) -> object:
        asked.append(host)
        return await real(host, port, **rest)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    async with proxied(short_folder, await far(echo_at_the_end)):
        for _ in range(2):
            reader, writer = await dial(short_folder)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
    assert asked.count("localhost") == 2


async def test_one_connection_too_many_is_closed_at_once(short_folder: Path, far: Far) -> None:
    async with proxied(short_folder, await far(echo_at_the_end), connections=1) as proxy:
        reader, writer = await dial(short_folder)
        writer.write(b"held")
        await until(lambda: bool(proxy._pipes))
        extra_reader, extra_writer = await dial(short_folder)
        with contextlib.suppress(ConnectionError):
            assert await extra_reader.read() == b""
        extra_writer.close()
        writer.write_eof()
        assert await reader.read() == b"held"
        writer.close()


async def test_a_connection_with_nothing_to_say_is_ended(short_folder: Path, far: Far) -> None:
    async with proxied(short_folder, await far(echo_at_the_end), idle=0.02) as proxy:
        reader, writer = await dial(short_folder)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        await until(lambda: not proxy._pipes)


async def test_an_address_that_another_proxy_serves_is_used_and_taken_over_when_it_is_gone(
    short_folder: Path, far: Far
) -> None:
    port = await far(echo_at_the_end)
    first = Proxy(Address("unix", str(short_folder / "p")), ("127.0.0.1", port))
    await first.start()
    async with proxied(short_folder, port, takeover=0.02) as second:
        assert second.served_elsewhere
        assert await echoed(short_folder, b"by the first") == b"by the first"
        await first.close()
        await until(lambda: not second.served_elsewhere)
        assert await echoed(short_folder, b"by the second") == b"by the second"


async def test_a_tcp_port_that_is_taken_is_used_too(far: Far) -> None:
    port = await far(echo_at_the_end)
    proxy = Proxy(Address("tcp", "127.0.0.1", port), ("127.0.0.1", port))
    await proxy.start()
    assert proxy.served_elsewhere
    await proxy.close()


async def test_a_stale_socket_is_replaced_and_an_impossible_address_is_an_error(
    short_folder: Path, far: Far
) -> None:
    port = await far(echo_at_the_end)
    for _ in range(2):
        async with proxied(short_folder, port) as proxy:
            assert not proxy.served_elsewhere
    with pytest.raises(UnavailableError, match="cannot listen on unix:"):
        await Proxy(Address("unix", str(short_folder / "none" / "p")), ("127.0.0.1", port)).start()


async def test_closing_ends_the_pipes_under_way_and_may_be_done_twice(short_folder: Path, far: Far) -> None:
    async with proxied(short_folder, await far(echo_at_the_end)) as proxy:
        reader, writer = await dial(short_folder)
        writer.write(b"x")
        await until(lambda: bool(proxy._pipes))
        await proxy.close()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_closing_while_it_dials_leaves_no_connection_behind(short_folder: Path, far: Far) -> None:
    port = await far(echo_at_the_end)
    for turns in range(200):
        async with proxied(short_folder, port) as proxy:
            _, writer = await dial(short_folder)
            while not proxy._pipes:  # noqa: ASYNC110 - turns of the loop are what is counted here
                await asyncio.sleep(0)
            for _ in range(turns % 40):
                await asyncio.sleep(0)
            await proxy.close()
            writer.close()
