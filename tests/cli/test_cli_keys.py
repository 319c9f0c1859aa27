"""`list` and `generate`: what they print, and what they say when something fails in the middle."""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from pydantic import BaseModel

from cli import admin
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import UnavailableError
from signatory.vault import Call, VaultContext, VaultKey
from vaults.memory import MemoryConfig, MemoryVault

HASH = "tz1KqTpEZ7Yob7QbPE4Hy4Wo8fHG8LhKxZSx"
PUBLIC = "edpkuBknW28nW72KG6RoHtYW7p12T6GKc7nAbwYX5m8Wd9sDVC9yav"
BLOCK = f"""\
Public Key Hash:           {HASH}
Public Key:                {PUBLIC}
Reference:                 {""}
Vault:                     Mem
Active:                    true
Allowed Requests:          [block generic]
Allowed Operations:        [reveal transaction]
Allow Proof of Possession: false

"""


class FailingVault(MemoryVault):
    """A vault that makes two keys and then fails; what was made stays."""

    doubtful: ClassVar[bool] = False
    """Whether the third key is made before the failure is told."""
    mute: ClassVar[bool] = False
    """Whether it stops listing too."""

    _made = 0

    async def list(self) -> Sequence[VaultKey]:
        if self.mute and self._made:
            raise UnavailableError("gone")
        return await super().list()

    async def generate(self, key_type: KeyType, purpose: Purpose, call: Call) -> VaultKey:
        if self._made == 2:
            if self.doubtful:
                await super().generate(key_type, purpose, call)
            raise UnavailableError("the enclave does not answer", hint="look at its console")
        self._made += 1
        return await super().generate(key_type, purpose, call)


class InterruptedVault(FailingVault):
    async def generate(self, key_type: KeyType, purpose: Purpose, call: Call) -> VaultKey:
        if self._made == 2:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        return await super().generate(key_type, purpose, call)


class BrokenVault(MemoryVault):
    @classmethod
    async def open(cls, _config: MemoryConfig, _context: VaultContext) -> Self:
        raise UnavailableError("no enclave", hint="start it")


class ReadOnlyVault:
    Config: ClassVar[type[BaseModel]] = MemoryConfig
    label = "ReadOnly"

    @classmethod
    async def open(cls, _config: Any, _context: VaultContext) -> Self:
        return cls()

    async def close(self) -> None:
        pass


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration's folder is the working folder, and the drivers of this file can be named there."""
    monkeypatch.chdir(folder)
    names = {
        "failing": "FailingVault",
        "interrupted": "InterruptedVault",
        "broken": "BrokenVault",
        "readonly": "ReadOnlyVault",
    }
    table = {name: f"{__name__}:{target}" for name, target in names.items()}
    monkeypatch.setattr("cli.prepare.DRIVERS", {**table, "mem": "vaults.memory:MemoryVault"})
    (folder / "x.yaml").write_text(
        "base_dir: base\nvaults:\n" + "".join(f"  {name}: {{driver: {name}}}\n" for name in names)
    )
    return folder


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["signatory-cli", "-c", "x.yaml", *words])
    return admin.main()


def test_list_prints_the_block_of_signatory(run: Any) -> None:
    done = run("list")
    assert (done.returncode, done.stdout) == (0, BLOCK)
    assert 'level=error msg="No valid keys found in the vault f"' in done.stderr


def test_a_key_without_a_policy_is_inactive_and_shows_no_permissions(run: Any, folder: Path) -> None:
    file = folder / "signatory.yaml"
    file.write_text(
        "".join(line for line in file.read_text().splitlines(True) if not line.startswith("tezos"))
    )
    assert run("list").stdout == BLOCK[: BLOCK.index("Active")] + "Active:                    false\n\n"


def test_list_shows_the_other_vaults_when_one_does_not_open_and_ends_with_1(run: Any, folder: Path) -> None:
    (folder / "keys.json").unlink()
    done = run("list")
    assert done.returncode == 1
    assert done.stdout == BLOCK
    assert "Error: vault f: " in done.stderr


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("tz1", "tz1"), ("tz2", "tz2"), ("tz3", "tz3"), ("tz4", "tz4"), ("tz5", "tz5"),
        ("ed25519", "tz1"), ("secp256k1", "tz2"), ("p256", "tz3"), ("bls", "tz4"),
        ("mldsa44", "tz5"), ("mldsa65", "mldsa65:"), ("mldsa87", "mldsa87:"),
    ],
)  # fmt: skip
def test_generate_makes_every_type(run: Any, name: str, start: str) -> None:
    done = run("generate", "-v", "m", "-t", name)
    assert done.returncode == 0
    assert done.stdout.startswith(f"Public Key Hash:           {start}")
    assert done.stdout.endswith("Active:                    false\n\n")


def test_generate_makes_ed25519_unless_told_and_as_many_as_asked(run: Any) -> None:
    blocks = run("generate", "--vault", "m", "--num", "3").stdout.split("\n\n")
    assert len({block for block in blocks if block.startswith("Public Key Hash:           tz1")}) == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-v", "m", "-t", "rsa"), "Error: unknown key type: rsa"),
        (("-v", "x"), "Error: import: vault x is not found"),
        (("-v", "f"), "Error: import: vault f doesn't support generate operation"),
    ],
)
def test_generate_refuses_in_signatorys_words(run: Any, words: tuple[str, ...], told: str) -> None:
    done = run("generate", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr.splitlines()


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_generate_takes_a_positive_number(run: Any, number: str) -> None:
    assert run("generate", "-v", "m", "-n", number).returncode == 1


def shown(out: str) -> list[str]:
    return [line.split()[-1] for line in out.splitlines() if line.startswith("Public Key Hash:")]


def told_to_exist(err: str) -> list[str]:
    return [line.strip() for line in err.splitlines() if line.startswith("    ")]


@pytest.mark.usefixtures("here")
def test_a_failure_midway_says_exactly_which_keys_exist(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "generate", "-v", "failing", "-n", "1000") == 1
    out, err = capsys.readouterr()
    assert err.startswith(
        "Error: the enclave does not answer\nhint: look at its console\n2 of 1000 keys were made and exist"
    )
    assert told_to_exist(err) == shown(out)
    assert len(shown(out)) == 2


@pytest.mark.usefixtures("here")
def test_a_key_that_was_made_though_its_call_failed_is_told_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FailingVault, "doubtful", True)
    assert command(monkeypatch, "generate", "-v", "failing", "-n", "9") == 1
    out, err = capsys.readouterr()
    assert "3 of 9 keys were made and exist in vault failing\n" in err
    assert told_to_exist(err)[:2] == shown(out)
    assert len(told_to_exist(err)) == 3


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("vault", "doubt"), [("failing", "the vault does not answer"), ("interrupted", "see `list`")]
)
def test_where_the_vault_cannot_be_asked_the_doubt_is_told(
    vault: str, doubt: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FailingVault, "mute", True)
    assert command(monkeypatch, "generate", "-v", vault, "-n", "9") == 1
    out, err = capsys.readouterr()
    assert f"2 of 9 keys were made and exist in vault {vault} (one more may exist, {doubt}" in err
    assert told_to_exist(err) == shown(out)


@pytest.mark.usefixtures("here")
def test_progress_shows_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert command(monkeypatch, "generate", "-v", "failing", "-n", "2") == 0
    assert capsys.readouterr().err.endswith("\r1 of 2 keys\r2 of 2 keys\n")


def test_progress_of_many_keys_shows_without_a_terminal_too(run: Any) -> None:
    done = run("generate", "-v", "m", "-n", "101", "--log", "error")
    said = [line for line in done.stderr.splitlines() if line.endswith("of 101 keys")]
    assert (len(said), said[0], said[-1]) == (10, "11 of 101 keys", "101 of 101 keys")
    assert done.stdout.count("Public Key Hash: ") == 101


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("word", ["generate", "import"])
def test_a_vault_that_does_not_open_says_why(
    word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = ["edsk3gUfUPyBSfrS9CCgmCiQsTCHGkviBDusMxDJstFtojtc1zcpsh"] if word == "import" else []
    assert command(monkeypatch, word, "-v", "broken", *extra) == 1
    assert capsys.readouterr().err.endswith("Error: no enclave\nhint: start it\n")


@pytest.mark.usefixtures("here")
def test_a_vault_that_takes_no_keys_refuses_an_import(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "edsk3gUfUPyBSfrS9CCgmCiQsTCHGkviBDusMxDJstFtojtc1zcpsh"
    assert command(monkeypatch, "import", "--vault", "readonly", secret) == 1
    assert "Error: import: vault readonly doesn't support import operation" in capsys.readouterr().err
