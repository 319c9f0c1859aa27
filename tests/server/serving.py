"""A daemon on real loopback sockets, the vaults its tests need, and a client that can be rude."""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from signatory.config import load as config
from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, Purpose, SigningVersion
from signatory.crypto.keypair import KeyPair
from signatory.errors import MalformedError, SignatoryError
from signatory.keyring import Keyring
from signatory.limits import KeyringLimits, Limits
from signatory.server.daemon import Daemon
from signatory.tezos.keys import PublicKey
from signatory.vault import Call, Readiness, Registration, VaultContext, VaultKey
from signatory.watermark.memory import MemoryStore
from signatory.watermark.store import WatermarkStore

PAIRS = {
    kind: keypair.from_secret(kind, bytes(range(1, 33)), purpose=Purpose.TEZOS)
    for kind in (KeyType.ED25519, KeyType.SECP256K1, KeyType.P256, KeyType.BLS, KeyType.MLDSA44)
}
TZ1, TZ2, TZ3, TZ4, TZ5 = (PublicKey(kind, pair.public).id for kind, pair in PAIRS.items())

TRANSACTION = bytes.fromhex(
    "03" + "00" * 32 + "6c" + "00" * 21 + "e807b960e852ac02c096b102" + "0000" + "07" * 20 + "00"
)
"""One transfer to another account, by the layout of the operation in the reference sheet."""

CHAIN = "NetXdQprcVkpaWU"
CHAIN_BYTES = bytes.fromhex("7a06a770")


def attestation(level: int, round_: int = 0, payload: int = 0, *, dal: bool = False) -> bytes:
    """Magic byte, chain, branch, tag, slot, level, round, payload hash; with DAL one number more."""
    place = struct.pack(">Hii", 0, level, round_)
    tag = b"\x17" if dal else b"\x15"
    return b"\x13" + CHAIN_BYTES + bytes(32) + tag + place + bytes([payload]) * 32 + (b"\x00" if dal else b"")


class ScriptedConfig(BaseModel):
    """The vault to return: tests keep it and change it while it is used."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)
    vault: Any


class ScriptedVault:
    """A vault that does what a test says: lie, hang, fail, count."""

    Config: ClassVar[type[BaseModel]] = ScriptedConfig
    label = "Scripted"

    def __init__(self, *pairs: KeyPair) -> None:
        self.pairs = {PublicKey(pair.type, pair.public).id: pair for pair in pairs}
        self.opening_error: SignatoryError | None = None
        self.listing_error: SignatoryError | None = None
        self.opened = self.listed = self.closed = 0
        self.state = Readiness(ready=True)
        self.signed: list[bytes] = []
        self.calls: list[Call] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.listing_gate = asyncio.Event()
        self.listing_gate.set()
        self.begun = asyncio.Event()
        self.cancelled = 0
        self.before_sign: Callable[[], None] = lambda: None
        self.tamper: Callable[[bytes], bytes] = lambda signature: signature

    @classmethod
    async def open(cls, config: ScriptedConfig, context: VaultContext) -> Self:  # noqa: ARG003 - the seam's shape
        vault: Self = config.vault
        vault.opened += 1
        if vault.opening_error:
            raise vault.opening_error
        return vault

    async def list(self) -> Sequence[VaultKey]:
        self.listed += 1
        await self.listing_gate.wait()
        if self.listing_error:
            raise self.listing_error
        return [VaultKey(PublicKey(pair.type, pair.public), pair.purpose) for pair in self.pairs.values()]

    async def sign(self, key: VaultKey, message: bytes, version: SigningVersion, call: Call) -> bytes:
        self.calls.append(call)
        self.begun.set()
        self.before_sign()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.signed.append(message)
        return self.tamper(self.pairs[key.id].sign(message, version))

    async def prove_possession(self, key: VaultKey, call: Call) -> bytes:
        self.calls.append(call)
        pair = self.pairs[key.id]
        if pair.type is not KeyType.BLS:
            raise MalformedError("not a BLS key")
        return self.tamper(pair.prove())

    def readiness(self) -> Readiness:
        return self.state

    async def close(self) -> None:
        self.closed += 1


def registration(name: str, vault: ScriptedVault) -> Registration:
    """What the composition would make of one entry under `vaults:`."""
    context = VaultContext(name, Path("/nonexistent"), lambda _: "")
    return Registration(name, ScriptedVault, ScriptedConfig(vault=vault), context)


@dataclass
class Reply:
    """What came back, unread by any HTTP library."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """The text of an error; the shape around it is asserted too."""
        (row,) = json.loads(self.body)
        assert (row["id"], row["kind"], set(row)) == ("failure", "temporary", {"id", "kind", "msg"})
        assert self.body.endswith(b"}]\n")
        return str(row["msg"])

    @property
    def value(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """A keep-alive connection of our own making."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, *, head_only: bool = False) -> Reply:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = 0 if head_only else int(headers.get("content-length", "0"))
        return Reply(int(first.split()[1]), headers, await self.reader.readexactly(size))

    async def ask(self, method: str, path: str, body: bytes | None = None, headers: str = "") -> Reply:
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {path} HTTP/1.1\r\nHost: test\r\n{headers}{length}\r\n"
        await self.send(head.encode() + (body or b""))
        return await self.reply(head_only=method == "HEAD")

    async def closed(self) -> bytes:
        """Everything until the server closes."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read()
        return b""

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@dataclass
class Running:
    """A started daemon and the clients of one test."""

    daemon: Daemon
    keyring: Keyring
    clients: list[Client] = field(default_factory=list)

    async def client(self, *, utility: bool = False) -> Client:
        place = self.daemon.addresses[1 if utility else 0]
        client = Client(*await asyncio.open_connection(place.host, place.port))
        self.clients.append(client)
        return client

    async def ask(
        self, method: str, path: str, body: bytes | None = None, headers: str = "", *, utility: bool = False
    ) -> Reply:
        """One request on a connection of its own."""
        client = await self.client(utility=utility)
        return await client.ask(method, path, body, headers)

    async def sign(self, pkh: str, message: bytes, query: str = "") -> Reply:
        return await self.ask("POST", f"/keys/{pkh}{query}", json.dumps(message.hex()).encode())

    async def metrics(self) -> str:
        return (await self.ask("GET", "/metrics", utility=True)).body.decode()


EVERYTHING = (
    "{allow: {block: , preattestation: , attestation: , attestation_with_dal: , generic: [transaction]}}"
)


def settings(tezos: str = "", server: str = "") -> config.Config:
    """A configuration on free loopback ports; every test key may do everything unless `tezos` says else."""
    lines = tezos or "".join(f"  {key}: {EVERYTHING}\n" for key in (TZ1, TZ2, TZ3, TZ4, TZ5))
    address = "" if "  address:" in server else '  address: "127.0.0.1:0"\n'
    text = f'server:\n{address}  utility_address: "127.0.0.1:0"\n{server}\ntezos:\n{lines}\n'
    return config.read(text.encode())


@contextlib.asynccontextmanager
async def serving(
    *vaults: ScriptedVault,
    tezos: str = "",
    server: str = "",
    limits: Limits | None = None,
    keyring_limits: KeyringLimits | None = None,
    watermark: WatermarkStore | None = None,
    **seams: Any,
) -> AsyncIterator[Running]:
    """A daemon over these vaults (one with every test key, where none is given)."""
    chosen = vaults or (ScriptedVault(*PAIRS.values()),)
    rows = [registration(f"vault{number}", vault) for number, vault in enumerate(chosen)]
    keyring = Keyring(rows, keyring_limits or KeyringLimits())
    daemon = Daemon(
        settings(tezos, server), keyring, watermark or MemoryStore(), limits=limits or Limits(), **seams
    )
    await daemon.start()
    running = Running(daemon, keyring)
    try:
        yield running
    finally:
        for client in running.clients:
            await client.close()
        await daemon.stop()
