"""An enclave of the extended protocol as a script: it writes what a test says, with cbor2 and hashlib alone.

A Sign is answered with a "signature" that is made of its message, so that a test can tell whose reply it is.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def signature_of(message: bytes) -> bytes:
    return hashlib.sha512(b"signature of " + message).digest()


def reply(identifier: int, digest: bytes, value: Any) -> bytes:
    """One frame; `value` is {"Ok": ...} or {"Err": ...}."""
    return frame(cbor2.dumps({"id": identifier, "digest": digest, "reply": value}))


def refusal(*chain: str) -> dict[str, Any]:
    error: dict[str, Any] | None = None
    for message in reversed(chain):
        error = {"message": message, "source": error}
    return {"Err": error}


@dataclass(frozen=True)
class Asked:
    """One call as it came."""

    body: bytes
    writer: asyncio.StreamWriter

    @property
    def envelope(self) -> dict[str, Any]:
        found: dict[str, Any] = cbor2.loads(self.body)
        return found

    @property
    def id(self) -> int:
        return int(self.envelope["id"])

    @property
    def name(self) -> str:
        return str(next(iter(self.envelope["call"])))

    @property
    def fields(self) -> dict[str, Any]:
        found: dict[str, Any] = self.envelope["call"][self.name]
        return found

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.body).digest()

    def signed(self) -> bytes:
        """The frame that answers this Sign."""
        return self.framed({"Ok": {"Ed25519": signature_of(self.fields["message"])}})

    def framed(self, value: Any) -> bytes:
        return reply(self.id, self.digest, value)

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)


def sign_at_once(asked: Asked) -> None:
    asked.send(asked.signed())


@dataclass
class ScriptedEnclave:
    """Serves `path`. `serve` is called with each call but Cancel; `bend` gives the whole reply to Hello."""

    path: Path
    serve: Callable[[Asked], None] = sign_at_once
    bend: Callable[[bytes], bytes] | None = None
    in_flight: int = 64
    frame_limit: int = 65536
    asked: list[Asked] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    connections: int = 0
    hellos: list[bytes] = field(default_factory=list)
    session_key: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, str(self.path))

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def welcome(self, hello: bytes) -> bytes:
        """The body of the reply to this Hello."""
        fields = {
            "version": 1,
            "nonce": hashlib.sha256(hello).digest(),
            "session_key": self.session_key.public_key().public_bytes_raw(),
            "in_flight": self.in_flight,
            "frame_limit": self.frame_limit,
            "schemes": ["kms-gdk-v1", "kms-envelope-v1"],
            "reference_protocol": False,
            "release": "0.2.0",
        }
        return cbor2.dumps({"Ok": fields})

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what came makes it true."""
        async with asyncio.timeout(30):
            while not condition():
                self.came.clear()
                await self.came.wait()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._talk(reader, writer))
        self._tasks.add(task)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            hello = await _take(reader)
            self.hellos.append(hello)
            self.came.set()
            writer.write(self.bend(hello) if self.bend else frame(self.welcome(hello)))
            while True:
                self._take_in(Asked(await _take(reader), writer))
                self.came.set()
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _take_in(self, asked: Asked) -> None:
        self.ids.append(asked.id)
        if asked.name == "Cancel":
            self.cancelled.append(asked.fields["id"])
        else:
            self.asked.append(asked)
            self.serve(asked)


async def _take(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
