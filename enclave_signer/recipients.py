"""RSA keys that KMS encrypts its answers to: a fresh one for every call, made ahead of it in a thread."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AHEAD = 2
"""Keys kept ready; one takes 25 to 600 ms to make."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One key pair, for one call. `spki` is what gets attested."""

    private: rsa.RSAPrivateKey = field(repr=False)
    spki: bytes


class Recipients:
    """The pool. It works from `start` to `close`."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[Recipient] = asyncio.Queue(AHEAD)
        self._maker: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._maker = asyncio.get_running_loop().create_task(self._fill())

    async def take(self) -> Recipient:
        """A key that nobody had before."""
        return await self._ready.get()

    async def close(self) -> None:
        if self._maker is not None:
            self._maker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._maker

    async def _fill(self) -> None:
        while True:
            await self._ready.put(await asyncio.to_thread(_make))


def _make() -> Recipient:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Recipient(
        private, private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
