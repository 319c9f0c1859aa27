"""A policy hook of our own making: raw bytes on a loopback socket, signatures by another library."""

import asyncio
import contextlib
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58check(prefix: str, data: bytes) -> str:
    """The text form of Tezos; `prefix` is in hex."""
    raw = bytes.fromhex(prefix) + data
    raw += hashlib.sha256(hashlib.sha256(raw).digest()).digest()[:4]
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return text


class Approver:
    """An Ed25519 key in the texts of Tezos."""

    def __init__(self, seed: int = 1) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_key = base58check("0d0f25d9", public)
        self.address = base58check("06a19f", hashlib.blake2b(public, digest_size=20).digest())

    def sign(self, payload: bytes) -> str:
        signature = self._key.sign(hashlib.blake2b(payload, digest_size=32).digest())
        return base58check("09f5cd8612", signature)


@dataclass
class Asked:
    """One request as it came."""

    head: str
    body: bytes

    @property
    def lines(self) -> list[str]:
        return self.head.split("\r\n")

    @property
    def question(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


Script = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class FakeHook:
    """What came, and where it listens."""

    address: str
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    now: int = 0
    most: int = 0
    """Connections at one time."""


@contextlib.asynccontextmanager
async def hook(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeHook]:
    """Serve; `script` writes the answer, whatever that is."""
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        fake.connections += 1
        fake.now += 1
        fake.most = max(fake.most, fake.now)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    line for line in head.split("\r\n") if line.lower().startswith("content-length")
                )
                body = await reader.readexactly(int(length.split(":")[1]))
                fake.asked.append(Asked(head.rstrip(), body))
                await script(fake.asked[-1], writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            fake.now -= 1
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    fake = FakeHook(f"{'https' if tls else 'http'}://127.0.0.1:{port}/hook?for=test")
    try:
        yield fake
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def http(status: str, body: bytes = b"", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def always(answer: bytes) -> Script:
    async def script(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return script


def payload(asked: Asked, approver: Approver, **changes: Any) -> dict[str, Any]:
    """What an approval service signs, with changes; a change to None leaves the name out."""
    whole = {
        "status": 200,
        "error": "",
        "public_key_hash": approver.address,
        "nonce": asked.question["nonce"],
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def signed(payload: bytes, signature: str) -> bytes:
    return b'{"payload":' + payload + b',"signature":' + json.dumps(signature).encode() + b"}"


def signing(approver: Approver, answered: str = "200 OK", **changes: Any) -> Script:
    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        text = json.dumps(payload(asked, approver, **{"status": int(answered[:3])} | changes)).encode()
        writer.write(http(answered, signed(text, approver.sign(text))))

    return script
