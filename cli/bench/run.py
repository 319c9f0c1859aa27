"""The bench: one run, everything beside the bare handler of the same run."""

import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cli.bench import servers
from cli.bench.load import Measured, measure, sign_request
from signatory.crypto.curves import KeyType
from signatory.crypto.keypair import KeyPair, Verifier

MESSAGE = bytes.fromhex(
    # 03, a branch, one transaction of 1 mutez between two tz1 accounts
    "03" + "8fcf233671b6a04fcf679d2a381c2544ea6c1ea29ba6157776ed842426e5cab8"
    "6c" + "0002298c03ed7d454a101eb7022bc95f7e5f41ac78" + "d30b" + "01" + "f44d" + "ac02" + "01"
    "0000" + "b2e19a9e74440d86c59f13dab8a18ff873e889ea" + "00"
)
"""A generic request: what policy decodes and judges in each measured call."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was loaded, what came out, and its rate beside the bare handler's at that load."""

    name: str
    key: str
    measured: Measured
    ratio: float


@dataclass(slots=True)
class Report:
    """Everything one run saw."""

    machine: str
    python: str
    seconds: float
    rows: list[Row] = field(default_factory=list)
    seam: dict[str, dict[str, float]] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The plain form: what `--json` writes."""
        return asdict(self)


async def bench(seconds: float, clients: list[int], rounds: int, progress: Callable[[str], None]) -> Report:
    """Run the whole bench. Each load is repeated `rounds` times beside a fresh bare one; the median rate counts."""
    report = Report(_machine(), platform.python_version(), seconds)
    keys = servers.new_keys()
    load_core, server_core = _cores()
    os.sched_setaffinity(0, load_core)
    with tempfile.TemporaryDirectory(prefix="signatory-bench-") as name:
        folder = Path(name)
        async with servers.bare() as yardstick:
            servers.pin(yardstick.pid, server_core)
            for driver, log in (("mem", "warn"), ("mem", "info"), ("file", "warn")):
                async with servers.daemon(folder / driver / log, driver, log, keys) as server:
                    servers.pin(server.pid, server_core)
                    title = f"{driver} vault, log={log}"
                    if log == "warn":
                        report.facts[f"{driver}_start_to_ready_seconds"] = server.seconds_to_ready
                    for count in clients:
                        progress(f"{title}, {count} clients")
                        await _pair(report, title, KeyType.ED25519, yardstick, server, count, seconds, rounds)
                    if (driver, log) == ("mem", "warn"):
                        for key in servers.HTTP_TYPES[1:]:
                            progress(f"{title}, {key.value}")
                            await _pair(report, title, key, yardstick, server, 16, seconds, 1)
                        report.facts["mem_resident_megabytes"] = servers.resident_megabytes(server.pid)
            progress("nitro vault")
            async with servers.laptop(folder / "laptop") as server:
                os.sched_setaffinity(0, load_core | server_core)
                for count in clients:
                    progress(f"nitro vault, {count} clients")
                    await _pair(
                        report, "nitro vault (unix socket)", KeyType.ED25519, yardstick, server, count, seconds, rounds
                    )
                for key in servers.HTTP_TYPES[1:]:
                    progress(f"nitro vault, {key.value}")
                    await _pair(report, "nitro vault (unix socket)", key, yardstick, server, 16, seconds, 1)
    progress("the vault seam")
    report.facts["first_signature_seconds"] = await _first_signature(keys)
    report.seam = {key.value: _seam(pair, seconds / 4) for key, pair in keys.items()}
    return report


async def _pair(
    report: Report,
    title: str,
    key: KeyType,
    yardstick: servers.Server,
    server: servers.Server,
    clients: int,
    seconds: float,
    rounds: int,
) -> None:
    """Load bare handler and server by turns; keep the median of each, so that a slow moment hits both."""
    base_request = sign_request(yardstick.address, "tz1", MESSAGE)
    request = sign_request(server.address, server.keys[key], MESSAGE)
    base, mine = [], []
    for _ in range(rounds):
        base.append(await measure(yardstick.address, base_request, clients, seconds))
        mine.append(await measure(server.address, request, clients, seconds))
    bare, median = _median(base), _median(mine)
    if not any(row.name == "bare aiohttp handler" and row.measured.clients == clients for row in report.rows):
        report.rows.append(Row("bare aiohttp handler", KeyType.ED25519.value, bare, 1.0))
    report.rows.append(Row(title, key.value, median, median.rate / bare.rate))


def _median(measured: list[Measured]) -> Measured:
    return sorted(measured, key=lambda one: one.rate)[len(measured) // 2]


async def _first_signature(keys: dict[KeyType, KeyPair]) -> float:
    """Seconds from the start of the daemon's process to the first byte-complete 200."""
    with tempfile.TemporaryDirectory(prefix="signatory-bench-") as name:
        before = time.perf_counter()
        async with servers.daemon(Path(name) / "first", "mem", "warn", keys) as server:
            request = sign_request(server.address, server.keys[KeyType.ED25519], MESSAGE)
            await measure(server.address, request, 1, 0.0)
            return time.perf_counter() - before


def _seam(pair: KeyPair, seconds: float) -> dict[str, float]:
    """Signatures and verifications per second of one family, without any daemon."""
    verifier = Verifier(pair.type, pair.public, pair.purpose)
    signature = pair.sign(MESSAGE)
    return {
        "sign": _per_second(lambda: pair.sign(MESSAGE), seconds),
        "verify": _per_second(lambda: verifier.verify(MESSAGE, signature), seconds),
    }


def _per_second(call: Callable[[], object], seconds: float) -> float:
    count, start = 0, time.perf_counter()
    while (now := time.perf_counter()) - start < seconds:
        call()
        count += 1
    return count / (now - start)


def _machine() -> str:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{len(os.sched_getaffinity(0))} x {model}, {platform.system()} {platform.release()}"


def _cores() -> tuple[set[int], set[int]]:
    """One core for the load and another for the server, where there are two; else both share."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[-1]}, {cores[0]}) if len(cores) > 1 else (set(cores), set(cores))


def run(seconds: float, clients: list[int], rounds: int, progress: Callable[[str], None]) -> Report:
    """`bench` for a caller without a loop."""
    return asyncio.run(bench(seconds, clients, rounds, progress))
