"""Stream addresses with and without vsock, for both ends: `vsock://CID:PORT`, `unix:/path`, `tcp://HOST:PORT`.

Standard library only: the enclave's program uses it too.
"""

import asyncio
import contextlib
import errno
import os
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from signatory.errors import ConfigError, UnavailableError

CID_ANY = 0xFFFFFFFF
"""Listen on every CID of this machine; written `vsock://any:PORT`."""

WRITE_CAP = 16384
"""Bytes in one send: a virtio backend in the wild stalls on a guest's send above 32 KiB."""

_VSOCK = re.compile(r"vsock://(any|[0-9]{1,10}):([0-9]{1,10})")
_TCP = re.compile(r"tcp://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")
_U32 = 0xFFFFFFFF


class AddressTakenError(UnavailableError):
    """Somebody serves this address already."""


StreamHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class Address:
    """One end of a stream. `family` is `vsock`, `unix` or `tcp`; `host` is the CID, the path or the host."""

    family: str
    host: str
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read the text form. Raises ConfigError that names the three forms."""
        if text.startswith("unix:") and len(text) > len("unix:"):
            return cls("unix", text.removeprefix("unix:"))
        if (match := _VSOCK.fullmatch(text)) and int(match[2]) <= _U32:
            cid = CID_ANY if match[1] == "any" else int(match[1])
            if cid <= _U32:
                return cls("vsock", str(cid), int(match[2]))
        if (match := _TCP.fullmatch(text)) and 0 <= int(match[2]) <= 65535:
            return cls("tcp", match[1].strip("[]"), int(match[2]))
        raise ConfigError(
            f"{text!r} is not an address", hint="use vsock://CID:PORT, unix:/path or tcp://HOST:PORT"
        )

    def __str__(self) -> str:
        if self.family == "unix":
            return f"unix:{self.host}"
        if self.family == "vsock":
            return f"vsock://{'any' if int(self.host) == CID_ANY else self.host}:{self.port}"
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"


class CappedVsock(socket.socket):
    """An AF_VSOCK stream whose sends are short, whichever way asyncio sends."""

    def __init__(self, fileno: int | None = None) -> None:
        super().__init__(socket.AF_VSOCK, socket.SOCK_STREAM, 0, fileno)

    def send(self, data: Any, flags: int = 0, /) -> int:
        return super().send(memoryview(data)[:WRITE_CAP], flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        view = memoryview(data).cast("B")
        while view:
            view = view[self.send(view, flags) :]

    def sendmsg(self, buffers: Iterable[Any], *_rest: Any) -> int:
        return self.send(next(iter(buffers)))

    def accept(self) -> tuple[socket.socket, Any]:
        descriptor, peer = self._accept()  # type: ignore[attr-defined]  # socket.socket's own accept uses it too
        return CappedVsock(descriptor), peer


async def connect(  # the limit is an argument, so that each caller names its own in its error
    address: Address,
    timeout: float,  # noqa: ASYNC109 - see above
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a stream within `timeout` seconds. Raises UnavailableError naming the address."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport = await dial(lambda: protocol, address, timeout)
    return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())


async def dial(
    protocol: Callable[[], asyncio.Protocol],
    address: Address,
    timeout: float,  # noqa: ASYNC109 - as for `connect`
) -> asyncio.Transport:
    """Connect a protocol within `timeout` seconds. Raises UnavailableError naming the address."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            if address.family == "unix":
                return (await loop.create_unix_connection(protocol, address.host))[0]
            if address.family == "tcp":
                return (await loop.create_connection(protocol, address.host, address.port))[0]
            sock = CappedVsock()
            try:
                sock.setblocking(False)
                await loop.sock_connect(sock, (int(address.host), address.port))
                return (await loop.create_connection(protocol, sock=sock))[0]
            except BaseException:
                sock.close()
                raise
    except TimeoutError as error:
        raise UnavailableError(f"no connection to {address} within {timeout:g} s") from error
    except OSError as error:
        raise UnavailableError(f"cannot connect to {address}: {error.strerror or error}") from error


async def listen(handler: StreamHandler, address: Address) -> asyncio.Server:
    """Serve streams at `address`; a stale unix socket that nobody serves is replaced, and is made mode 0600.

    Raises AddressTakenError when somebody serves it already, UnavailableError when it cannot be used.
    """
    try:
        if address.family == "tcp":
            return await asyncio.start_server(handler, address.host, address.port)
        if address.family == "vsock":
            sock = CappedVsock()
            try:
                sock.setblocking(False)
                sock.bind((int(address.host), address.port))
                return await asyncio.start_server(handler, sock=sock)
            except BaseException:
                sock.close()
                raise
        return await _listen_unix(handler, address.host)
    except OSError as error:
        family = AddressTakenError if error.errno == errno.EADDRINUSE else UnavailableError
        raise family(f"cannot listen on {address}: {error.strerror or error}") from error


async def _listen_unix(handler: StreamHandler, path: str) -> asyncio.Server:
    if await _is_served(path):
        raise AddressTakenError(f"cannot listen on unix:{path}: another process serves it")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - a path object here would only be turned back into text
    previous = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(handler, path)
    finally:
        os.umask(previous)


async def _is_served(path: str) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True
