"""What durable watermarks cost: at the store with a slow disk, and over HTTP beside marks in memory."""

import asyncio
import itertools
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.bench import servers
from cli.bench.load import Measured, measure_each, sign_request
from signatory.crypto.curves import KeyType, Purpose
from signatory.crypto.keypair import KeyPair, generate
from signatory.files import SlowDisk, private_folder
from signatory.policy.rules import evaluate
from signatory.policy.values import Client, KeyPolicy, Policy
from signatory.tezos import requests
from signatory.tezos.keys import PublicKey
from signatory.watermark.file import FileStore
from signatory.watermark.rules import Mark

CHAIN = "NetXdQprcVkpaWU"
SYNC = 0.002
"""Seconds that one sync of the slow disk lasts."""
KEYS = 64

# 13, mainnet, a branch, an attestation (tag 21) in slot 0: level and round follow, then a payload hash.
_BEFORE_LEVEL = bytes.fromhex("137a06a770") + bytes(32) + bytes.fromhex("150000")
_AFTER_LEVEL = bytes(4) + bytes(range(32))


@dataclass(slots=True)
class AtStore:
    """What the store did on one disk; seconds unless the name says otherwise."""

    place: str = ""
    """Where the slow disk was: memory where there is such a folder, so that a sync is what it was made."""
    sync: float = 0.0
    """The median sync of the slow disk."""
    sync_p99: float = 0.0
    alone_per_second: float = 0.0
    """One task, so one sync for each mark."""
    together_per_second: float = 0.0
    """A task for each of the keys, all at once."""
    together_p99: float = 0.0

    @property
    def gain(self) -> float:
        """How many times the rate of one sync for each mark."""
        return self.together_per_second / self.alone_per_second

    @property
    def syncs_p99(self) -> float:
        """The 99th percentile of a mark in syncs."""
        return self.together_p99 / self.sync


MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it


def places() -> list[Path]:
    """Where the store is measured: in memory, where a sync is only what it was made to be, and on disk."""
    return [MEMORY, Path(tempfile.gettempdir())] if MEMORY.is_dir() else [Path(tempfile.gettempdir())]


async def at_the_store(folder: Path, seconds: float, found: AtStore) -> None:
    """The file store on a disk whose every sync lasts `SYNC` more: one task, then one for each of 64 keys."""
    disk = SlowDisk(sync=SYNC)
    found.sync, found.sync_p99 = _sync_times(disk, folder)
    store = FileStore(folder, disk=disk)
    await store.open()
    try:
        alone = await _advance(store, 1, seconds)
        together = await _advance(store, KEYS, seconds)
    finally:
        await store.close()
    found.alone_per_second = len(alone) / seconds
    found.together_per_second = len(together) / seconds
    found.together_p99 = sorted(together)[len(together) * 99 // 100]


@dataclass(slots=True)
class Marks:
    """What the run saw."""

    stores: list[AtStore] = field(default_factory=list)
    http: list[tuple[int, Measured, Measured]] = field(default_factory=list)
    """Clients, then the load over marks in memory and over marks in files."""
    judged: float = 0.0
    """Seconds to decode one transaction and judge it."""


async def over_http(
    folder: Path, clients: Sequence[int], seconds: float, rounds: int, found: Marks, cores: set[int]
) -> None:
    """Attestations, each client with a key of its own and a level that rises, on the disk of `folder`.

    Both daemons run on `cores` and are loaded by turns.
    """
    private_folder(folder)
    bakers = [generate(KeyType.ED25519, Purpose.TEZOS, secrets.token_bytes) for _ in range(max(clients))]
    async with (
        servers.daemon(folder / "mem", "mem", "warn", {}, bakers=bakers) as memory,
        servers.daemon(folder / "file", "mem", "warn", {}, watermark="file", bakers=bakers) as durable,
    ):
        for server in (memory, durable):
            servers.pin(server.pid, cores)
        sources = {server.address: _sources(server.address, bakers) for server in (memory, durable)}
        for count in clients:
            seen: dict[str, list[Measured]] = {address: [] for address in sources}
            for _ in range(rounds):
                for address, mine in sources.items():
                    seen[address].append(await measure_each(address, mine[:count], seconds))
            middle = [sorted(one, key=lambda each: each.rate)[rounds // 2] for one in seen.values()]
            found.http.append((count, middle[0], middle[1]))


def judging(message: bytes, seconds: float) -> float:
    """Seconds to decode one request and judge it by a policy that allows it."""
    pkh = "tz1WGcYos3hL7GXYXjKrMnSFdkT7FyXnFBvf"
    key = KeyPolicy(requests=frozenset({"generic"}), operations=frozenset({"transaction"}))
    policy, client = Policy({pkh: key}), Client("127.0.0.1")
    count, start = 0, time.perf_counter()
    while (now := time.perf_counter()) - start < seconds:
        for _ in range(100):
            evaluate(policy, pkh, requests.understood(message), client)
        count += 100
    return (now - start) / count


async def _advance(store: FileStore, tasks: int, seconds: float) -> list[float]:
    """Rising marks on so many keys at once: how long each took."""
    until, latencies = time.perf_counter() + seconds, []

    async def one(number: int) -> None:
        # No check of the text at this seam: any name is a key.
        key, start = f"{tasks}-{number}", time.perf_counter()
        for level in itertools.count(1):
            await store.advance(CHAIN, key, "attestation", Mark(level, 0, level.to_bytes(32, "big")))
            now = time.perf_counter()
            latencies.append(now - start)
            if now >= until:
                return
            start = now

    await asyncio.gather(*(one(number) for number in range(tasks)))
    return latencies


def _sync_times(disk: SlowDisk, folder: Path) -> tuple[float, float]:
    """Median and 99th percentile of some syncs of a file with new bytes in it."""
    times = []
    with (folder / "sync").open("wb") as file:
        for _ in range(200):
            file.write(bytes(6000))
            file.flush()
            start = time.perf_counter()
            disk.sync(file.fileno())
            times.append(time.perf_counter() - start)
    (folder / "sync").unlink()
    times.sort()
    return times[100], times[198]


def _sources(address: str, bakers: list[KeyPair]) -> list[Iterator[bytes]]:
    return [_rising(address, PublicKey(pair.type, pair.public).id) for pair in bakers]


def _rising(address: str, key: str) -> Iterator[bytes]:
    for level in itertools.count(1):
        yield sign_request(address, key, _BEFORE_LEVEL + level.to_bytes(4, "big") + _AFTER_LEVEL)
