"""The software NSM as a process: `python -I -m cli.local.nsm STATE_DIR`.

STATE_DIR/config.json says what to measure and where to listen (see `NsmConfig`); the measurement is taken
once, at the start, as a boot does. A request and its reply travel as frames: 4 bytes big-endian length, one
CBOR item. It prints `listening on ADDRESS`, once it serves. Beside `fail`, `delay`, `clear` and `status` (see
faults) the control socket knows

    {"do": "short", "size": 1, "times": 2}      so many bytes of randomness instead of 256
"""

import asyncio
import contextlib
import logging
import secrets
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cli.local import nsm_chain, process, state
from cli.local.faults import Faults, serve_control, times
from cli.local.measure import measure
from cli.local.nsm_device import Device, Identity, utc_now
from signatory.errors import MalformedError
from signatory.net.vsock import Address, listen
from signatory.nitro.nsm import MAX_RANDOM, MAX_REQUEST

MAX_CONNECTIONS = 64
MAX_DISCARDED = 1 << 20
"""Bytes of an overlong request that are read past; a longer one closes the connection."""
BODY_TIMEOUT = 10.0
"""Seconds between a frame's length and its last byte."""

_log = logging.getLogger("nsm")


@dataclass(frozen=True, slots=True)
class NsmConfig:
    """What config.json holds, all texts: `tree`, with the packages, and the file `settings` are measured."""

    tree: str
    settings: str
    role_arn: str
    region: str
    instance_id: str
    listen: str
    control: str

    def save(self, folder: Path) -> None:
        """Raises UnavailableError."""
        state.write_json(folder / "config.json", asdict(self))

    @classmethod
    def load(cls, folder: Path) -> "NsmConfig":
        """Raises ConfigError."""
        found = state.read_json(folder / "config.json")
        return cls(**{name: state.text(found, name) for name in cls.__dataclass_fields__})

    def measured(self) -> Mapping[int, bytes]:
        """The registers of an enclave that starts now. Raises ConfigError."""
        settings = state.read_bytes(Path(self.settings))
        return measure(Path(self.tree), settings, self.role_arn, self.instance_id)


async def serve(folder: Path) -> None:
    """Serve until told to stop. Raises ConfigError, UnavailableError."""
    config, faults = NsmConfig.load(folder), Faults()
    measured = config.measured()
    identity = Identity(config.region, config.instance_id, f"{config.instance_id}-enc{secrets.token_hex(8)}")
    device = Device(nsm_chain.open_root(folder, utc_now()), identity, measured, utc_now, faults)
    _log.info("NOT GENUINE: software NSM %s, PCR0 %s", identity.module_id, measured[0].hex())
    control = await serve_control(Address.parse(config.control), faults, _short(faults))
    server = await listen(_Door(device, faults).enter, Address.parse(config.listen))
    print(f"listening on {config.listen}", flush=True)
    with contextlib.closing(control), contextlib.closing(server):
        await process.until_stopped()


class _Door:
    """Where the streams come in."""

    def __init__(self, device: Device, faults: Faults) -> None:
        self._device, self._faults, self._open = device, faults, 0

    async def enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MAX_CONNECTIONS:
            writer.close()
            return
        self._open += 1
        try:
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                await self._serve(reader, writer)
        finally:
            self._open -= 1
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            size = int.from_bytes(await reader.readexactly(4), "big")
            if size > MAX_DISCARDED:
                return
            async with asyncio.timeout(BODY_TIMEOUT):
                body = await _read(reader, size)
            await self._faults.pause(self._device.operation(body))
            reply = self._device.answer(body)
            writer.write(len(reply).to_bytes(4, "big") + reply)
            await writer.drain()


async def _read(reader: asyncio.StreamReader, size: int) -> bytes:
    """The frame's body; of an overlong one, read past in pieces, only enough for the device to refuse it."""
    if size <= MAX_REQUEST:
        return await reader.readexactly(size)
    kept = await reader.readexactly(MAX_REQUEST + 1)
    left = size - len(kept)
    while left:
        left -= len(await reader.readexactly(min(left, 65536)))
    return kept


def _short(faults: Faults) -> Any:
    def obey(name: str, command: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if name != "short":
            return None
        size = command.get("size", 1)
        if not isinstance(size, int) or not 1 <= size <= MAX_RANDOM:
            raise MalformedError(f"size is 1 to {MAX_RANDOM}")
        faults.add("short", "GetRandom", size, times(command))
        return {"ok": True}

    return obey


if __name__ == "__main__":
    sys.exit(process.run(serve, sys.argv))
