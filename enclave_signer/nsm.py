"""The Nitro security module: /dev/nsm, or the laptop's software module on a unix socket.

Source: Linux drivers/misc/nsm.c (one ioctl), aws-nitro-enclaves-nsm-api (the CBOR inside).
"""

import asyncio
import ctypes
import fcntl
import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from signatory.errors import IntegrityError, MalformedError, UnavailableError
from signatory.net.vsock import Address, connect
from signatory.nitro import nsm
from signatory.rpc.wire import HEADER, FrameTooLongError, body_length, put_frame

_IOCTL = 0xC0200A00
"""_IOWR(0x0A, 0, 32): two iovecs, request and response."""

TIMEOUT = 10.0
"""Seconds that the software module may take; the device's driver has its own limit of 120."""

MIN_PART = 32
"""Bytes of entropy below which an answer is a fault: the module gives 256, and may give fewer."""


_Reply = TypeVar("_Reply")


class Nsm(Protocol):
    """The seam: CBOR in, CBOR out."""

    async def request(self, body: bytes) -> bytes:
        """Ask the module. Raises UnavailableError when it does not answer."""
        ...


def open_nsm(where: str) -> Nsm:
    """The module at `/dev/nsm` or `unix:/path`. Raises UnavailableError."""
    return DeviceNsm(where) if where.startswith("/") else SocketNsm(Address.parse(where))


class DeviceNsm:
    """The device. Calls block in the driver, one at a time, and so they have a thread of their own."""

    def __init__(self, path: str) -> None:
        try:
            self._device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise UnavailableError(f"cannot open {path}: {error.strerror}") from error
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nsm")

    async def request(self, body: bytes) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, body)

    def _ask(self, body: bytes) -> bytes:
        asked = ctypes.create_string_buffer(body, len(body))
        answer = ctypes.create_string_buffer(nsm.MAX_REPLY)
        iovecs = bytearray(
            struct.pack("<QQQQ", ctypes.addressof(asked), len(body), ctypes.addressof(answer), len(answer))
        )
        try:
            fcntl.ioctl(self._device, _IOCTL, iovecs, True)
        except OSError as error:
            raise UnavailableError(f"the NSM driver failed: {error.strerror}") from error
        _, _, _, length = struct.unpack("<QQQQ", iovecs)
        if length > len(answer):
            raise IntegrityError(f"the NSM driver says {length} bytes in a buffer of {len(answer)}")
        return answer.raw[:length]


class SocketNsm:
    """The software module: the same CBOR, each way behind four bytes of big-endian length."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def request(self, body: bytes) -> bytes:
        reader, writer = await connect(self._address, TIMEOUT)
        try:
            async with asyncio.timeout(TIMEOUT):
                writer.write(put_frame(body))
                await writer.drain()
                header = await reader.readexactly(HEADER)
                return await reader.readexactly(body_length(header, nsm.MAX_REPLY))
        except TimeoutError:
            raise UnavailableError(f"no answer from the NSM at {self._address} in {TIMEOUT:g} s") from None
        except (OSError, EOFError) as error:
            raise UnavailableError(f"the NSM at {self._address} hung up") from error
        except FrameTooLongError as error:
            raise IntegrityError(f"the NSM at {self._address}: {error.message}") from error
        finally:
            writer.close()


async def describe(module: Nsm) -> nsm.Description:
    """What the module says of itself. Raises UnavailableError or IntegrityError, as everything here."""
    request = nsm.DescribeNsm()
    return await _ask(module, request, lambda body: nsm.decode_reply(request, body))


async def pcr(module: Nsm, index: int) -> nsm.Register:
    """One register, 0 to 31."""
    request = nsm.DescribePcr(index)
    return await _ask(module, request, lambda body: nsm.decode_reply(request, body))


async def extend(module: Nsm, index: int, data: bytes) -> bytes:
    """Extend a register from 16 to 31 that is not locked; its new value, SHA-384(old || data)."""
    request = nsm.ExtendPcr(index, data)
    return await _ask(module, request, lambda body: nsm.decode_reply(request, body))


async def lock(module: Nsm, index: int) -> None:
    """Lock one register from 16 to 31: nothing extends it any more, and documents carry it."""
    request = nsm.LockPcr(index)
    await _ask(module, request, lambda body: nsm.decode_reply(request, body))


async def lock_below(module: Nsm, count: int) -> None:
    """Lock the registers 0 to `count` - 1."""
    request = nsm.LockPcrs(count)
    await _ask(module, request, lambda body: nsm.decode_reply(request, body))


async def attest(
    module: Nsm,
    *,
    public_key: bytes | None = None,
    user_data: bytes | None = None,
    nonce: bytes | None = None,
) -> bytes:
    """A new attestation document over these fields.

    The module takes 1,024 bytes of public key, 512 of each other. Raises MalformedError for more than a
    request can carry, UnavailableError or IntegrityError.
    """
    request = nsm.Attestation(user_data, nonce, public_key)
    return await _ask(module, request, lambda body: nsm.decode_reply(request, body))


async def random(module: Nsm, size: int) -> bytes:
    """Exactly `size` bytes of the module's entropy, in calls of at most 256.

    Raises UnavailableError, and IntegrityError for an answer that cannot be entropy: one that is short, one
    byte repeated, or the same as another one.
    """
    request = nsm.GetRandom()
    parts: list[bytes] = []
    while sum(map(len, parts)) < size:
        part = await _ask(module, request, lambda body: nsm.decode_reply(request, body))
        if len(part) < MIN_PART:
            raise IntegrityError(f"the NSM gave {len(part)} bytes of entropy in one answer; it gives 256")
        if len(set(part)) == 1:
            raise IntegrityError("the NSM's entropy is one byte repeated")
        if part in parts:
            raise IntegrityError("the NSM gave the same entropy twice")
        parts.append(part)
    return b"".join(parts)[:size]


async def image_measurement(module: Nsm) -> str:
    """PCR0 in hex, or `unknown`: for the text of an error only."""
    try:
        return (await pcr(module, 0)).data.hex()
    except (UnavailableError, IntegrityError):
        return "unknown"


async def _ask(module: Nsm, request: nsm.Request, read: Callable[[bytes], _Reply]) -> _Reply:
    answer = await module.request(nsm.encode_request(request))
    try:
        return read(answer)
    except MalformedError as error:
        raise IntegrityError(f"the NSM's answer cannot be read: {error.message}") from error
