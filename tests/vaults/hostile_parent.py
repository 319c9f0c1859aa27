"""A parent that stands between daemon and enclave: it sees every frame, and may answer or change any.

It reads and writes with cbor2 and hashlib alone.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2

Bend = Callable[[bytes], bytes | None]
"""A frame's body, changed; None leaves it as it is."""


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def name_of(body: bytes) -> str:
    """`Hello`, a reference request, or the call in an envelope."""
    found = cbor2.loads(body)
    return str(next(iter(found.get("call", found))))


def _untouched(_body: bytes) -> bytes | None:
    return None


@dataclass
class Parent:
    """Listens on `path` and passes everything on to the enclave at `enclave`, except what a test bends.

    `answer` is asked first, with what the daemon sends: what it gives is the reply, and the enclave never
    sees the request. An OSError of any of the three hangs up. `seen` is every byte that came, from either.
    """

    path: Path
    enclave: Path
    answer: Bend = _untouched
    ask: Bend = _untouched
    reply: Bend = _untouched
    seen: bytearray = field(default_factory=bytearray)
    asked: list[bytes] = field(default_factory=list)
    replied: list[bytes] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, str(self.path))

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @property
    def names(self) -> list[str]:
        """What the daemon asked for, in order."""
        return [name_of(body) for body in self.asked]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._tasks.add(asyncio.create_task(self._between(reader, writer)))

    async def _between(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(str(self.enclave))
        self._writers.append(far_writer)
        ways = (
            asyncio.create_task(self._down(reader, writer, far_writer)),
            asyncio.create_task(self._up(far_reader, writer)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for each in (writer, far_writer):
                each.transport.abort()

    async def _down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, far: asyncio.StreamWriter
    ) -> None:
        async for body in _bodies(reader):
            self.seen += body
            self.asked.append(body)
            if (made := self.answer(body)) is not None:
                writer.write(frame(made))
            else:
                changed = self.ask(body)
                far.write(frame(body if changed is None else changed))

    async def _up(self, far: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for body in _bodies(far):
            self.seen += body
            self.replied.append(body)
            changed = self.reply(body)
            writer.write(frame(body if changed is None else changed))


async def _bodies(reader: asyncio.StreamReader) -> Any:
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            size = int.from_bytes(await reader.readexactly(4), "big")
            yield await reader.readexactly(size)


def unknown_hello() -> bytes:
    """What a reference enclave says of a Hello."""
    text = 'Semantic(None, "unknown variant `Hello`, expected one of `Initialize`, `Import`")'
    return cbor2.dumps({"Err": {"message": text, "source": None}})


def welcome_of(hello: bytes, session_key: bytes) -> bytes:
    """A Welcome as the parent would write it."""
    fields = {
        "version": 1,
        "nonce": cbor2.loads(hello)["Hello"]["nonce"],
        "session_key": session_key,
        "in_flight": 64,
        "frame_limit": 65536,
        "schemes": ["kms-gdk-v1"],
        "reference_protocol": False,
        "release": "test-1",
    }
    return _canonical({"Ok": fields})


def transcript_of(hello: bytes, welcome: bytes) -> bytes:
    framed = b"".join(len(body).to_bytes(8, "big") + body for body in (hello, welcome))
    return hashlib.sha256(b"signatory-vault/hello/v1\0" + framed).digest()


def with_ok(asked: bytes, value: Any) -> bytes:
    """The reply that this call would get, were this its outcome."""
    identifier, digest = cbor2.loads(asked)["id"], hashlib.sha256(asked).digest()
    return _canonical({"id": identifier, "digest": digest, "reply": {"Ok": value}})


def _canonical(value: Any) -> bytes:
    return cbor2.dumps(value, canonical=True)
