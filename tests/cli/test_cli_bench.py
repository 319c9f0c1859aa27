"""The bench measures what answers, and counts what is not a 200."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.bench import marks, servers
from cli.bench.load import measure, sign_request
from cli.bench.run import MESSAGE
from signatory.crypto.curves import KeyType
from signatory.errors import UnavailableError
from signatory.tezos import requests


def test_the_measured_request_is_one_transaction() -> None:
    assert requests.parse(MESSAGE).operations == ("transaction",)


async def test_the_bare_handler_and_the_daemon_answer_every_request_of_a_load(tmp_path: Path) -> None:
    keys = servers.new_keys()
    async with servers.bare() as bare, servers.daemon(tmp_path / "mem", "mem", "warn", keys) as daemon:
        for server in (bare, daemon):
            request = sign_request(server.address, server.keys[KeyType.ED25519], MESSAGE)
            seen = await measure(server.address, request, 3, 0.05)
            assert (seen.failed, seen.rate > 0, seen.p50 <= seen.p99) == (0, True, True)
        refused = await measure(daemon.address, sign_request(daemon.address, "tz1", MESSAGE), 1, 0.0)
        assert refused.failed == 1
        assert servers.resident_megabytes(daemon.pid) > 1


async def test_a_server_that_is_not_there_is_said_to_be() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()

    with pytest.raises(UnavailableError, match="nothing answers"):
        await measure(address, sign_request(address, "tz1", MESSAGE), 1, 0.0)


@pytest.mark.slow
def test_a_whole_run_writes_its_figures_as_json(tmp_path: Path) -> None:
    words = [
        "bench",
        "--seconds",
        "0.1",
        "--rounds",
        "1",
        "--clients",
        "1",
        "--json",
        str(tmp_path / "figures.json"),
    ]
    subprocess.run([sys.executable, "-I", "-m", "cli.signatory_cli", *words], check=True, timeout=300)

    figures = json.loads((tmp_path / "figures.json").read_text())
    assert {row["name"] for row in figures["rows"]} >= {"mem vault, log=warn", "nitro vault (unix socket)"}
    assert not any(row["measured"]["failed"] for row in figures["rows"])


async def test_the_loads_over_marks_are_attestations_that_rise_and_all_are_signed(tmp_path: Path) -> None:
    found = marks.Marks()
    await marks.over_http(tmp_path / "http", [2], 0.05, 1, found, os.sched_getaffinity(0))

    ((clients, memory, file),) = found.http
    assert (clients, memory.failed, file.failed) == (2, 0, 0)
    assert list((tmp_path / "http" / "file" / "base" / "watermark_v2").glob("Net*.json"))
    assert not (tmp_path / "http" / "mem" / "base" / "watermark_v2").exists()


async def test_the_loads_at_the_store_fill_every_figure(tmp_path: Path) -> None:
    found = marks.AtStore()
    await marks.at_the_store(tmp_path, 0.1, found)

    assert found.sync >= marks.SYNC
    assert min(found.alone_per_second, found.together_per_second, found.together_p99, found.gain) > 0
    assert list((tmp_path / "watermark_v2").glob("Net*.json"))
