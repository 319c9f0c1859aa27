"""The NSM in turns: it does one thing at a time, and no host's calls may pile up in front of it."""

import asyncio

from enclave_signer import nsm

AT_ONCE = 4
"""Requests that are with the module at a time; the others wait in the order in which they came."""


class Turns:
    """A module, of which only so much is asked at a time."""

    def __init__(self, module: nsm.Nsm, at_once: int = AT_ONCE) -> None:
        self._module = module
        self._turn = asyncio.Semaphore(at_once)

    async def request(self, body: bytes) -> bytes:
        """Raises UnavailableError when the module does not answer."""
        async with self._turn:
            return await self._module.request(body)
