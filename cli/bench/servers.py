"""The processes that the bench loads: the bare handler, the daemon over each vault, the laptop stack."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from signatory.crypto.curves import KeyType, default_purpose
from signatory.crypto.keypair import KeyPair, generate
from signatory.errors import UnavailableError
from signatory.files import private_folder, replace_durably
from signatory.tezos import secrets as tezos_secrets
from signatory.tezos.keys import PublicKey

READY_WITHIN = 60.0
"""Seconds that a process may take to answer."""

HTTP_TYPES = (KeyType.ED25519, KeyType.SECP256K1, KeyType.P256, KeyType.BLS, KeyType.MLDSA44)
"""The families with a Tezos form, in the order of the tables."""


@dataclass(frozen=True, slots=True)
class Server:
    """A process under load: where it answers, which keys it holds, who to ask for its memory."""

    address: str
    keys: dict[KeyType, str]
    pid: int
    seconds_to_ready: float


def new_keys() -> dict[KeyType, KeyPair]:
    """One fresh key of each family."""
    return {key: generate(key, default_purpose(key), secrets.token_bytes) for key in KeyType}


def resident_megabytes(pid: int) -> float:
    """The resident memory of a process, in units of 1e6 bytes. Source: proc(5)."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise UnavailableError(f"process {pid} is gone")


@contextlib.asynccontextmanager
async def bare() -> AsyncIterator[Server]:
    """The yardstick."""
    started = time.perf_counter()
    with _process([sys.executable, "-I", "-m", "cli.bench.bare"], stdout=subprocess.PIPE) as process:
        line = await asyncio.to_thread(process.stdout.readline)
        address = line.decode().strip()
        yield Server(address, {KeyType.ED25519: "tz1"}, process.pid, time.perf_counter() - started)


@contextlib.asynccontextmanager
async def daemon(
    folder: Path,
    driver: str,
    log: str,
    keys: dict[KeyType, KeyPair],
    *,
    watermark: str = "mem",
    bakers: Sequence[KeyPair] = (),
) -> AsyncIterator[Server]:
    """`signatory serve` over the `mem` or the `file` vault, with policy and metrics on.

    `keys` may sign transactions, `bakers` attestations.
    """
    private_folder(folder)
    pairs = {key: keys[key] for key in HTTP_TYPES if key in keys}
    address, utility = (f"127.0.0.1:{port}" for port in _free_ports(2))
    texts = [tezos_secrets.text(pair) for pair in (*pairs.values(), *bakers)]
    config: Any = texts
    if driver == "file":
        rows = [{"name": f"key{row}", "value": f"unencrypted:{text}"} for row, text in enumerate(texts)]
        replace_durably(folder / "keys.json", json.dumps(rows).encode())
        config = {"file": str(folder / "keys.json")}
    ids = {key: PublicKey(key, pair.public).id for key, pair in pairs.items()}
    document = {
        "base_dir": str(folder / "base"),
        "server": {"address": address, "utility_address": utility},
        "vaults": {"bench": {"driver": driver, "config": config}},
        "watermark": {"driver": watermark},
        "tezos": {pkh: {"allow": {"generic": ["transaction"]}} for pkh in ids.values()}
        | {PublicKey(pair.type, pair.public).id: {"allow": {"attestation": None}} for pair in bakers},
    }
    path = folder / "signatory.yaml"
    replace_durably(path, yaml.safe_dump(document).encode())
    command = [sys.executable, "-I", "-m", "cli.signatory", "--log", log, "serve", "-c", str(path)]
    with (folder / f"{log}.log").open("wb") as sink, _process(command, stderr=sink) as process:
        started = time.perf_counter()
        await _ready(utility, process, folder / f"{log}.log")
        yield Server(address, ids, process.pid, time.perf_counter() - started)


@contextlib.asynccontextmanager
async def laptop(folder: Path) -> AsyncIterator[Server]:
    """`signatory dev`: the nitro vault over a unix socket, its enclave signer a process of its own."""
    address, utility = (f"127.0.0.1:{port}" for port in _free_ports(2))
    command = [sys.executable, "-I", "-m", "cli.signatory", "dev", "--quiet", "--base-dir", str(folder)]
    command += ["--address", address, "--utility-address", utility]
    with _process(command) as process:
        started = time.perf_counter()
        await _ready(utility, process, folder / "logs")
        found = await asyncio.to_thread(_keys_of, folder / "dev.json")
        ids = {key: found[f"tz{number}"] for number, key in enumerate(HTTP_TYPES, start=1)}
        yield Server(address, ids, process.pid, time.perf_counter() - started)


@contextlib.contextmanager
def _process(command: list[str], **options: Any) -> Any:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, **options)  # noqa: S603  # our own program
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


async def _ready(utility: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            text = f"the process under load ended with {process.returncode}"
            raise UnavailableError(text, hint=f"see {log}")
        if await asyncio.to_thread(_healthy, utility):
            return
        await asyncio.sleep(0.01)
    text = f"the process under load was not ready within {READY_WITHIN:g} s"
    raise UnavailableError(text, hint=f"see {log}")


def _healthy(utility: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{utility}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _keys_of(path: Path) -> dict[str, str]:
    """The keys that `signatory dev` wrote down; it does so just after it is healthy."""
    deadline = time.monotonic() + READY_WITHIN
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return dict(json.loads(path.read_text("utf-8"))["keys"])


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def pin(pid: int, cores: set[int]) -> None:
    """Keep a process on some cores where there are several, so that load and server do not share one."""
    if len(os.sched_getaffinity(0)) > 1:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(pid, cores)
