"""Passwords asked at a real terminal while the daemon starts: no echo, no second question, no hanging end."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from signatory.crypto.curves import KeyType
from signatory.tezos import base58, encrypted

QUESTION = b"Enter password to unlock key `alice'"
PASSWORD = b"correct horse"


class AtTerminal:
    """`signatory serve` with a terminal of its own, and everything that the terminal has shown."""

    def __init__(self, folder: Path) -> None:
        self.master, terminal = pty.openpty()
        self.shown = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-I", "-m", "cli.signatory", "serve",
             "-c", str(folder / "signatory.yaml")],
            stdin=terminal, stdout=terminal, stderr=terminal,
        )  # fmt: skip
        os.close(terminal)

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + 30
        while text not in self.shown and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.1)[0]:
                self.shown += os.read(self.master, 65536)
        assert text in self.shown

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[AtTerminal]:
    secret = encrypted.encrypt(bytes(range(32)), PASSWORD, b"saltsalt")
    value = base58.encode(base58.required("encrypted secret key", KeyType.ED25519).code, secret)
    (tmp_path / "keys.json").write_text(f'[{{"name": "alice", "value": "encrypted:{value}"}}]')
    (tmp_path / "keys.json").chmod(0o600)
    (tmp_path / "signatory.yaml").write_text(
        f"base_dir: {tmp_path}/base\nserver: {{address: '127.0.0.1:0', utility_address: '127.0.0.1:0'}}\n"
        f"vaults: {{f: {{driver: file, config: {tmp_path}/keys.json}}}}\n"
    )
    started = AtTerminal(tmp_path)
    yield started
    if started.process.poll() is None:
        started.process.kill()
    started.process.wait()
    os.close(started.master)


def test_a_typed_password_opens_the_vault_and_is_never_shown(terminal: AtTerminal) -> None:
    terminal.wait_for(QUESTION)
    os.write(terminal.master, PASSWORD + b"\n")
    terminal.wait_for(b"Utility HTTP server is listening")

    assert PASSWORD not in terminal.shown
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.process.wait(timeout=30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_in_the_middle_of_a_question(
    terminal: AtTerminal, number: signal.Signals
) -> None:
    terminal.wait_for(QUESTION)
    terminal.process.send_signal(number)

    assert terminal.process.wait(timeout=30) == 0
    assert terminal.echoes()
