"""The bench: one run, everything beside the bare handler of the same run."""

import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cli.bench import documents, keystore, marks, servers
from cli.bench.load import Measured, measure, sign_request
from cli.bench.marks import Marks
from signatory.crypto.curves import KeyType
from signatory.crypto.keypair import KeyPair, Verifier

MESSAGE = bytes.fromhex(
    # 03, a branch, one transaction of 1 mutez between two tz1 accounts
    "038fcf233671b6a04fcf679d2a381c2544ea6c1ea29ba6157776ed842426e5cab8"
    "6c0002298c03ed7d454a101eb7022bc95f7e5f41ac78d30b01f44dac0201"
    "0000b2e19a9e74440d86c59f13dab8a18ff873e889ea00"
)
"""A generic request: what policy decodes and judges in each measured call."""

FAMILY_CLIENTS = 16
"""Clients of the loads that compare the families."""
DAEMONS = (("mem", "warn"), ("mem", "info"), ("file", "warn"))
"""Vault driver and log level of each daemon that is loaded."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was loaded, what came out, and the bare handler loaded in turn with it."""

    name: str
    key: str
    measured: Measured
    bare: Measured
    ratio: float


@dataclass(slots=True)
class Report:
    """Everything one run saw."""

    machine: str
    python: str
    seconds: float
    rounds: int
    rows: list[Row] = field(default_factory=list)
    seam: dict[str, dict[str, float]] = field(default_factory=dict)
    marks: Marks = field(default_factory=Marks)
    many: list[keystore.ManyKeys] = field(default_factory=list)
    """Starts of a vault with many keys."""
    facts: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The plain form: what `--json` writes."""
        return asdict(self)


@dataclass(slots=True)
class _Bench:
    """One run under way: how long and how often, and the yardstick that answers beside everything."""

    report: Report
    clients: Sequence[int]
    yardstick: servers.Server
    progress: Callable[[str], None]

    async def ladder(self, title: str, server: servers.Server) -> None:
        """Ed25519 with each number of clients."""
        for count in self.clients:
            await self._row(title, KeyType.ED25519, server, count)

    async def families(self, title: str, server: servers.Server) -> None:
        """Every other family with a Tezos form."""
        for key in servers.HTTP_TYPES[1:]:
            await self._row(title, key, server, FAMILY_CLIENTS)

    async def _row(self, title: str, key: KeyType, server: servers.Server, clients: int) -> None:
        """Load bare handler and server by turns, so that a slow moment hits both; the medians count."""
        self.progress(f"{title}, {key.value}, {clients} clients")
        report, base, mine = self.report, [], []
        for _ in range(report.rounds):
            base.append(await self._load(self.yardstick, KeyType.ED25519, clients))
            mine.append(await self._load(server, key, clients))
        bare, median = _median(base), _median(mine)
        report.rows.append(Row(title, key.value, median, bare, median.rate / bare.rate))

    async def _load(self, server: servers.Server, key: KeyType, clients: int) -> Measured:
        request = sign_request(server.address, server.keys[key], MESSAGE)
        return await measure(server.address, request, clients, self.report.seconds)


async def bench(
    seconds: float, clients: Sequence[int], rounds: int, progress: Callable[[str], None]
) -> Report:
    """Run the whole bench: each load lasts `seconds` and is repeated `rounds` times beside a bare one."""
    report = Report(_machine(), platform.python_version(), seconds, rounds)
    keys = servers.new_keys()
    everywhere = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory(prefix="signatory-bench-") as name:
        folder = Path(name)
        report.facts["start_to_first_signature_seconds"] = await _first_signature(folder / "first", keys)
        async with servers.bare() as yardstick:
            run = _Bench(report, clients, yardstick, progress)
            load_core, server_core = _cores(everywhere)
            os.sched_setaffinity(0, load_core)
            servers.pin(yardstick.pid, server_core)
            for driver, log in DAEMONS:
                async with servers.daemon(folder / driver / log, driver, log, keys) as server:
                    servers.pin(server.pid, server_core)
                    await run.ladder(f"{driver} vault, log={log}", server)
                    if (driver, log) == DAEMONS[0]:
                        await run.families(f"{driver} vault, log={log}", server)
                    report.facts[f"{driver}_{log}_resident_megabytes"] = servers.resident_megabytes(
                        server.pid
                    )
            progress("watermarks over HTTP, in memory and in files")
            await marks.over_http(folder / "marks", clients, seconds, rounds, report.marks, server_core)
            # Daemon and enclave are two processes: with the load they share the whole machine.
            os.sched_setaffinity(0, everywhere)
            servers.pin(yardstick.pid, everywhere)
            async with servers.laptop(folder / "laptop") as server:
                await run.ladder("nitro vault (unix socket)", server)
                await run.families("nitro vault (unix socket)", server)
    progress("watermarks at the store")
    for place in marks.places():
        with tempfile.TemporaryDirectory(prefix="signatory-bench-", dir=place) as name:
            report.marks.stores.append(marks.AtStore("memory" if place == marks.MEMORY else "disk"))
            await marks.at_the_store(Path(name), seconds, report.marks.stores[-1])
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory(prefix="signatory-bench-") as name:
            progress(f"a start with {keystore.MANY} keys, {number} of {rounds}")
            report.many.append(await keystore.many_keys(Path(name), keystore.MANY))
    report.facts["verify_one_document_milliseconds"] = 1000 * documents.verifying(seconds / 4)
    report.marks.judged = marks.judging(MESSAGE, seconds / 4)
    progress("the vault seam")
    report.seam = {key.value: _seam(pair, seconds / 4) for key, pair in keys.items()}
    return report


def _median(measured: list[Measured]) -> Measured:
    return sorted(measured, key=lambda one: one.rate)[len(measured) // 2]


async def _first_signature(folder: Path, keys: dict[KeyType, KeyPair]) -> float:
    """Seconds from before the daemon's process exists to its first complete 200."""
    before = time.perf_counter()
    async with servers.daemon(folder, "mem", "warn", keys) as server:
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


def _cores(everywhere: set[int]) -> tuple[set[int], set[int]]:
    """One core for the load and another for the server, where there are two; else both share."""
    cores = sorted(everywhere)
    return ({cores[-1]}, {cores[0]}) if len(cores) > 1 else (everywhere, everywhere)
