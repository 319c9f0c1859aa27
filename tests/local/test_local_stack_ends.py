"""`signatory dev` from start to start: keys that come back, code that changes, and ends of every kind."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from laptop_stack import (
    ANYWHERE,
    MESSAGE,
    SIGNATORY,
    TREE_SEAM,
    bls_verifies,
    copy_program,
    ed25519_verifies,
    refused,
    running,
    served,
    until_there,
)

from cli.local.measure import tree_of_program


def test_a_key_that_cannot_be_loaded_is_an_error_and_not_made_anew(tmp_path: Path) -> None:
    base = tmp_path / "dev"
    with running(base) as first:
        lost = first.told["keys"]["tz1"]
    stored = base / "sealed_keys.json"
    whole = stored.read_bytes()
    kept = [each for each in json.loads(whole) if each["key_id"] != lost]
    stored.write_text(json.dumps(kept))
    assert f"cannot load {lost}" in refused(base, *ANYWHERE)
    stored.write_bytes(whole)
    with running(base) as second:
        assert second.told["keys"]["tz1"] == lost


def test_the_same_keys_come_back_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with running(tmp_path / "dev", "--no-repin") as first:
        told, children = first.told, first.children()
        public = {kind: first.public_key(kind) for kind in told["keys"]}
        assert first.end(signal.SIGTERM) == (0, "")
    assert not [pid for pid in children.values() if Path(f"/proc/{pid}").exists()]
    assert not Path(told["enclave_address"].removeprefix("unix:")).parent.exists()
    with running(tmp_path / "dev", "--no-repin") as second:
        assert "measurement changed" not in second.shown
        assert second.told["keys"] == told["keys"]
        assert {kind: second.public_key(kind) for kind in told["keys"]} == public
        ed25519_verifies(public["tz1"], MESSAGE, second.sign("tz1", MESSAGE))


def test_a_changed_program_is_shown_and_pinned_anew_with_the_same_keys(tmp_path: Path) -> None:
    base, tree = tmp_path / "dev", copy_program(tmp_path / "tree")
    command = (sys.executable, "-I", "-c", TREE_SEAM, str(base), str(tree))
    with served((*command, "refuse"), base) as first:
        keys, before = first.told["keys"], json.loads((base / "pinned.json").read_text())
    with (tree / "enclave_signer" / "__main__.py").open("a") as file:
        file.write("# changed\n")
    done = subprocess.run((*command, "refuse"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"PCR0 {before['PCR0']}" in done.stderr
    assert json.loads((base / "pinned.json").read_text()) == before
    with served((*command, "repin"), base) as second:
        after = json.loads((base / "pinned.json").read_text())
        assert re.search(rf"PCR0 {before['PCR0']}\n    -> {after['PCR0']}", second.shown)
        assert (before["PCR0"] != after["PCR0"], before["PCR1"]) == (True, after["PCR1"])
        assert second.told["keys"] == keys
        bls_verifies(second.public_key("tz4"), MESSAGE, second.sign("tz4", MESSAGE))
    assert "measurement changed" in refused(base, *ANYWHERE, "--no-repin")


@pytest.mark.parametrize("name", ["cli.local.nsm", "cli.local.kms", "enclave_signer", "cli.signatory"])
def test_when_a_process_dies_it_is_named_and_the_others_are_stopped(tmp_path: Path, name: str) -> None:
    with running(tmp_path / "dev") as stack:
        children = stack.children()
        os.kill(children[name], signal.SIGKILL)
        _, said = stack.process.communicate(timeout=60)
    assert stack.process.returncode == 1
    short = {"enclave_signer": "enclave", "cli.signatory": "daemon"}.get(name, name.rpartition(".")[2])
    assert f"the process `{short}` ended with code -9" in said
    assert not [pid for pid in children.values() if Path(f"/proc/{pid}").exists()]


def test_a_port_in_use_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refused(tmp_path / "dev", "--address", address, "--utility-address", "127.0.0.1:0")
    assert f"{address} cannot be used: Address already in use" in said
    assert "--address" in said
    assert not list((tmp_path / "dev" / "logs").iterdir())


@pytest.mark.parametrize("address", ["0.0.0.0:6732", ":6732", "192.0.2.1:6732", "nonsense"])
def test_it_listens_on_loopback_only(tmp_path: Path, address: str) -> None:
    command = (*SIGNATORY, "--base-dir", str(tmp_path / "dev"), "--address", address)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "loopback" in done.stderr or "HOST:PORT" in done.stderr


def test_quiet_prints_nothing(tmp_path: Path) -> None:
    base = tmp_path / "dev"
    command = (*SIGNATORY, "--base-dir", str(base), *ANYWHERE, "--quiet")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until_there(process, base / "dev.json")
        process.terminate()
        assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 0


def test_a_stop_in_the_middle_of_the_start_leaves_nothing(tmp_path: Path) -> None:
    base = tmp_path / "dev"
    command = (*SIGNATORY, "--base-dir", str(base), *ANYWHERE)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until_there(process, base / "logs" / "kms.log")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 0
    with running(base) as stack:
        assert base64.b64encode(stack.sign("tz1", MESSAGE))


def test_two_signals_at_once_are_one_and_nothing_is_killed(tmp_path: Path) -> None:
    """As make passes SIGTERM on to a process that got it with the whole group."""
    with running(tmp_path / "dev") as stack:
        stack.process.send_signal(signal.SIGTERM)
        assert stack.end(signal.SIGINT) == (0, "")


def test_what_is_killed_at_a_later_signal_is_said_to_be(tmp_path: Path) -> None:
    """Any signal is late enough here; the enclave is stopped so that it hears none."""
    base = tmp_path / "dev"
    impatient = f"from cli.local import stack_signals\nstack_signals.AT_ONCE = 0\n{TREE_SEAM}"
    with served(
        (sys.executable, "-I", "-c", impatient, str(base), str(tree_of_program()), "repin"), base
    ) as stack:
        os.kill(stack.children()["enclave_signer"], signal.SIGSTOP)
        stack.process.send_signal(signal.SIGTERM)
        code, said = stack.end(signal.SIGINT)
    assert code == 0
    assert "the process `enclave` was killed: the second signal came" in said
    assert "did not stop" not in said
