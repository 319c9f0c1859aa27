"""A folder with a configuration, and the real programs run in it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

SECRET = "edsk3gUfUPyBSfrS9CCgmCiQsTCHGkviBDusMxDJstFtojtc1zcpsh"
PUBLIC = "edpkuBknW28nW72KG6RoHtYW7p12T6GKc7nAbwYX5m8Wd9sDVC9yav"
HASH = "tz1KqTpEZ7Yob7QbPE4Hy4Wo8fHG8LhKxZSx"
"""The first bootstrap account of Tezos' sandbox: facts that every client of Tezos knows."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `signatory.yaml`: one memory vault named `m` with one key that may sign payments."""
    (tmp_path / "keys.json").write_text("[]")
    (tmp_path / "keys.json").chmod(0o600)
    file = tmp_path / "signatory.yaml"
    file.write_text(
        f"base_dir: {tmp_path}/base\n"
        f"vaults:\n  m: {{driver: mem, config: [{SECRET}]}}\n"
        f"  f: {{driver: file, config: {tmp_path}/keys.json}}\n"
        f"tezos: {{{HASH}: {{allow: {{block: , generic: [transaction, reveal]}}}}}}\n"
    )
    file.chmod(0o600)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """Run `signatory-cli` (or `program`) in that folder with that configuration."""

    def start(
        *words: str, program: str = "cli.signatory_cli", stdin: bytes | str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-I", "-m", program, "-c", "signatory.yaml", *words],
            cwd=folder,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            env={**os.environ, **env},
            start_new_session=True,  # no terminal to ask at
            timeout=60,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return start
