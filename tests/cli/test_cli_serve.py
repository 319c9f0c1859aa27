"""`signatory serve` as a process: it answers, it ends cleanly, and what stops it from starting is said."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HASH = "tz1KqTpEZ7Yob7QbPE4Hy4Wo8fHG8LhKxZSx"
PUBLIC = "edpkuBknW28nW72KG6RoHtYW7p12T6GKc7nAbwYX5m8Wd9sDVC9yav"
TRANSACTION = b'"03%s6c%se807b960e852ac02c096b1020000%s00"' % (b"0" * 64, b"0" * 42, b"07" * 20)
READY = "Utility HTTP server is listening"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Daemon:
    """The process, its ports, and its log so far."""

    def __init__(self, folder: Path, *words: str, server: str = "") -> None:
        self.port, self.utility = free_port(), free_port()
        file = folder / "signatory.yaml"
        listen = (
            f"server: {{address: '127.0.0.1:{self.port}', utility_address: '127.0.0.1:{self.utility}'"
            f"{server}}}\n"
        )
        file.write_text(file.read_text() + listen)
        self.log: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-m", "cli.signatory", *words, "-c", "signatory.yaml"],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip

    def wait_for(self, text: str) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if text in line:
                return
        pytest.fail("it ended: " + "".join(self.log))

    def get(self, port: int, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def sign(self) -> int:
        """The status for a payment."""
        return self.get(self.port, f"/keys/{HASH}", "POST", TRANSACTION)[0]

    def hangup(self, until: str) -> None:
        """SIGHUP, and wait for a line."""
        self.process.send_signal(signal.SIGHUP)
        self.wait_for(until)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        self.log += err.splitlines(keepends=True)
        assert out == ""
        return self.process.returncode


@contextlib.contextmanager
def serving(folder: Path, *words: str, server: str = "") -> Iterator[Daemon]:
    daemon = Daemon(folder, *words, server=server)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_ends_with_0_on_a_signal(folder: Path, number: signal.Signals) -> None:
    with serving(folder, "serve") as daemon:
        daemon.wait_for("Active: ")
        assert daemon.get(daemon.port, f"/keys/{HASH}") == (200, f'{{"public_key":"{PUBLIC}"}}\n'.encode())
        assert json.loads(daemon.get(daemon.utility, "/healthz")[1]) == {"ready": True}
        assert daemon.stop(number) == 0
    assert (folder / "base").is_dir()


def test_without_a_command_it_serves_and_lists_its_keys_in_the_log(folder: Path) -> None:
    with serving(folder) as daemon:
        daemon.wait_for("Allow Proof of Possession: false")
        assert daemon.stop() == 0
    log = "".join(daemon.log)
    assert f'msg="Public Key Hash:           {HASH}"' in log
    assert 'msg="Allowed Operations:        [reveal transaction]"' in log


def test_a_vault_is_announced_by_its_driver_and_its_name_in_the_configuration(folder: Path) -> None:
    with serving(folder) as daemon:
        daemon.wait_for(READY)
        assert daemon.stop() == 0
    assert [line for line in daemon.log if 'msg="Initializing vault" vault=mem vault_name=m\n' in line]


def test_no_list_keeps_the_keys_out_of_the_log(folder: Path) -> None:
    with serving(folder, "serve", "--no-list") as daemon:
        daemon.wait_for(READY)
        assert daemon.stop() == 0
    assert HASH not in "".join(daemon.log)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_a_vault_is_still_opening_ends_it_with_0(folder: Path, number: signal.Signals) -> None:
    with socket.socket(socket.AF_UNIX) as enclave, tempfile.TemporaryDirectory() as short:
        enclave.bind(f"{short}/enclave")
        enclave.listen()
        (folder / "signatory.yaml").write_text(
            f"base_dir: {folder}/base\n"
            "vaults:\n"
            "  n:\n"
            "    driver: nitro\n"
            "    config:\n"
            f"      enclave_address: unix:{short}/enclave\n"
            "      encryption_key_id: arn:aws:kms:us-west-2:111122223333:key/1234abcd\n"
            "      credentials: {access_key_id: AKIAEXAMPLE, secret_access_key: example, region: us-west-2}\n"
        )
        with serving(folder, "serve") as daemon:
            connection, _ = enclave.accept()  # and never answer
            with connection:
                assert daemon.stop(number) == 0
    assert "Shutting down" in "".join(daemon.log)


def test_a_hangup_reads_the_file_again_and_a_bad_one_changes_nothing(folder: Path) -> None:
    file = folder / "signatory.yaml"
    with serving(folder, "serve") as daemon:
        daemon.wait_for(READY)
        assert daemon.sign() == 200
        good = file.read_text()
        file.write_text(good.replace("transaction, reveal", "reveal") + "log: {level: debug}\n")
        daemon.hangup(f'msg="Reloaded, changed: log.level, tezos.{HASH}"')
        assert daemon.sign() == 403
        assert daemon.get(daemon.port, f"/keys/{HASH}")[0] == 200
        daemon.wait_for("level=debug")
        file.write_text("tezos: [\n" + good)
        daemon.hangup("Not reloaded, the configuration in force stays: ")
        assert daemon.sign() == 403
        file.write_text(good.replace("driver: mem", "driver: mum"))
        daemon.hangup("there is no driver `mum`")
        file.write_text(good.replace("m: {driver: mem", "renamed: {driver: mem"))
        daemon.hangup('msg="Changed, but needs a restart: vaults.')
        assert daemon.sign() == 200
        file.unlink()
        daemon.hangup("cannot read the configuration signatory.yaml: No such file")
        assert daemon.sign() == 200
        assert daemon.stop() == 0


def test_the_log_level_of_the_command_line_wins_over_that_of_the_file(folder: Path) -> None:
    file = folder / "signatory.yaml"
    file.write_text(file.read_text() + "log: {level: error}\n")
    with serving(folder, "serve", "--log", "info") as daemon:
        daemon.wait_for(READY)
        file.write_text(file.read_text().replace("level: error", "level: debug"))
        daemon.hangup("Reloaded, changed: log.level")
        assert daemon.get(daemon.port, f"/keys/{HASH}")[0] == 200
        assert daemon.stop() == 0
    assert not [line for line in daemon.log if "level=debug" in line]


def test_a_reload_by_http_is_for_who_enabled_it(folder: Path) -> None:
    file = folder / "signatory.yaml"
    with serving(folder, "serve") as daemon:
        daemon.wait_for(READY)
        assert daemon.get(daemon.utility, "/reload", "POST")[0] == 403
        assert daemon.stop() == 0
    file.write_text(file.read_text().split("server:")[0])
    with serving(folder, "serve", server=", reload: true") as daemon:
        daemon.wait_for(READY)
        assert daemon.get(daemon.utility, "/reload", "POST")[0] == 202
        daemon.wait_for("Reloaded, changed: nothing")
        while (told := json.loads(daemon.get(daemon.port, "/reload")[1]))["state"] != "idle":
            pass
        assert told["last"]["outcome"] == "done"
        assert daemon.get(daemon.port, "/reload", "POST")[0] == 202
        assert daemon.stop() == 0


def test_hangups_while_it_starts_are_harmless(folder: Path) -> None:
    with serving(folder, "serve") as daemon:
        daemon.wait_for("Initializing watermark")
        for _ in range(20):
            daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("Reloaded, changed: nothing")
        assert daemon.sign() == 200
        assert daemon.stop() == 0


def test_an_address_that_is_taken_is_said_and_the_code_is_1(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        file = folder / "signatory.yaml"
        file.write_text(
            file.read_text() + f"server: {{address: '127.0.0.1:{port}', utility_address: '127.0.0.1:0'}}\n"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-m", "cli.signatory", "serve", "-c", "signatory.yaml"],
            cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"Error: listen tcp 127.0.0.1:{port}: bind: address already in use\n" in done.stderr


def test_only_serve_takes_the_watermark(folder: Path, run: Any) -> None:
    with serving(folder, "serve") as daemon:
        daemon.wait_for(READY)
        assert run("list").returncode == 0
        assert run("generate", "-v", "m").returncode == 0
        second = run("serve", program="cli.signatory")
        assert daemon.stop() == 0
    assert second.returncode == 1
    assert "Error: " in second.stderr


def test_a_base_folder_that_cannot_be_used_stops_every_command(folder: Path, run: Any) -> None:
    (folder / "base").write_text("")
    for program, words in (
        ("cli.signatory", ["serve"]),
        ("cli.signatory_cli", ["list"]),
        ("cli.signatory_cli", ["generate", "-v", "m"]),
    ):
        done = run(*words, program=program)
        assert done.returncode == 1
        assert "Error: cannot use the base folder" in done.stderr


def test_dev_listens_on_loopback_only(run: Any) -> None:
    done = run("dev", "--address", "0.0.0.0:6732", program="cli.signatory")
    assert done.returncode == 1
    assert "loopback" in done.stderr


def test_a_key_tied_to_a_vault_is_not_found_in_another(folder: Path) -> None:
    file = folder / "signatory.yaml"
    file.write_text(file.read_text().replace("{allow:", "{vault: f, allow:"))
    with serving(folder, "serve") as daemon:
        daemon.wait_for(READY)
        status, body = daemon.get(daemon.port, f"/keys/{HASH}")
        assert (status, b"this key not found in any vault" in body) == (404, True)
        assert daemon.stop() == 0
