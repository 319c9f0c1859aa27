"""RSA keys that KMS encrypts its answers to: a fresh one for every call, made ahead of it in a thread."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from signatory.errors import UnavailableError

AHEAD = 4
"""Keys kept ready; one takes 25 to 600 ms to make."""

PAUSE = 1.0
"""Seconds before another try where making one failed."""

_log = logging.getLogger("enclave_signer")


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

    async def take(self, within: float) -> Recipient:
        """A key that nobody had before. Raises UnavailableError when there is none in that many seconds."""
        try:
            async with asyncio.timeout(within):
                return await self._ready.get()
        except TimeoutError:
            raise UnavailableError(f"no recipient key was ready within {within:g} s") from None

    async def close(self) -> None:
        if self._maker is not None:
            self._maker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._maker

    async def _fill(self) -> None:
        while True:
            try:
                made = await asyncio.to_thread(_make)
            except Exception as error:  # noqa: BLE001 - no thread or no memory now; without keys nothing opens
                _log.error("no recipient key could be made: %s", type(error).__name__)
                await asyncio.sleep(PAUSE)
            else:
                await self._ready.put(made)


def _make() -> Recipient:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Recipient(
        private, private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
