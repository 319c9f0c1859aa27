"""Where randomness comes from: the NSM and the kernel together, so that neither alone decides a key.

Source for feeding the kernel: random(4), RNDADDENTROPY.
"""

import asyncio
import fcntl
import hashlib
import os
import struct
from collections.abc import Callable

from enclave_signer import nsm
from signatory.errors import UnavailableError

AT_START = 1024
"""Bytes of the NSM's entropy that the kernel gets before the program serves."""

PER_KEY = 64
"""Bytes of the NSM's entropy in one key."""

_CHUNK = 256
_RNDADDENTROPY = 0x40085203
_DOMAIN = b"signatory-vault entropy v1"


async def seed_kernel(module: nsm.Nsm, *, mandatory: bool) -> None:
    """Give the kernel's pool the NSM's entropy.

    `mandatory` where the module is the device; elsewhere this process may lack the right, and the kernel of a
    laptop is seeded anyway. Raises UnavailableError or IntegrityError: then no key may be made.
    """
    seed = await nsm.random(module, AT_START)
    try:
        await asyncio.to_thread(_feed, [seed[at : at + _CHUNK] for at in range(0, AT_START, _CHUNK)])
    except OSError as error:
        if mandatory:
            raise UnavailableError(f"the kernel did not take the NSM's entropy: {error.strerror}") from error


def _feed(chunks: list[bytes]) -> None:
    device = os.open("/dev/random", os.O_WRONLY | os.O_CLOEXEC)
    try:
        for chunk in chunks:
            fcntl.ioctl(device, _RNDADDENTROPY, struct.pack("<ii", 8 * len(chunk), len(chunk)) + chunk)
    finally:
        os.close(device)


async def for_key(module: nsm.Nsm) -> Callable[[int], bytes]:
    """A source for making one key: SHAKE256 over bytes of the NSM, a counter, and fresh bytes of the kernel.

    Raises UnavailableError or IntegrityError.
    """
    base = await nsm.random(module, PER_KEY)
    counter = 0

    def draw(size: int) -> bytes:
        nonlocal counter
        counter += 1
        mixed = _DOMAIN + base + counter.to_bytes(8, "big") + os.urandom(PER_KEY)
        return hashlib.shake_256(mixed).digest(size)

    return draw
