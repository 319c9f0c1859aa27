"""`generate --user-id` and `--purpose`: whose key is made, and for what."""

from pathlib import Path
from typing import Any

import pytest

from cli import admin
from signatory.crypto.curves import KeyType, Purpose
from signatory.vault import Call, VaultKey
from vaults.memory import MemoryVault


class TenantVault(MemoryVault):
    """A vault that remembers for whom it made keys, one line each, in a file of the working folder."""

    async def generate(self, key_type: KeyType, purpose: Purpose, call: Call) -> VaultKey:
        return self._told("nobody", await super().generate(key_type, purpose, call))

    async def generate_for(self, user_id: str, key_type: KeyType, purpose: Purpose, call: Call) -> VaultKey:
        return self._told(user_id, await super().generate(key_type, purpose, call))

    def _told(self, owner: str, key: VaultKey) -> VaultKey:
        with Path("told").open("a") as file:
            file.write(f"{owner} {key.public_key.type.value} {key.purpose.value}\n")
        return key


@pytest.fixture
def generate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `generate` for the vault `t` (or `m`, which knows no tenants): exit code and what it made."""
    monkeypatch.chdir(folder)
    table = {"tenants": f"{__name__}:TenantVault", "mem": "vaults.memory:MemoryVault"}
    monkeypatch.setattr("cli.prepare.DRIVERS", table)
    (folder / "x.yaml").write_text("base_dir: base\nvaults:\n  t: {driver: tenants}\n  m: {driver: mem}\n")

    def run(*words: str, vault: str = "t") -> tuple[int, list[str]]:
        monkeypatch.setattr("sys.argv", ["signatory-cli", "-c", "x.yaml", "generate", "-v", vault, *words])
        code = admin.main()
        told = folder / "told"
        return code, told.read_text().splitlines() if told.exists() else []

    return run


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ((), "nobody ed25519 tezos"),
        (("-t", "mldsa65"), "nobody mldsa65 raw"),
        (("--purpose", "raw"), "nobody ed25519 raw"),
        (("-t", "tz5", "--purpose", "tezos"), "nobody mldsa44 tezos"),
        (("--user-id", "tenant-1"), "tenant-1 ed25519 tezos"),
        (("--user-id", "a@b/c=d+e:f_g.h", "-t", "mldsa87"), "a@b/c=d+e:f_g.h mldsa87 raw"),
        (("--user-id", "t", "-t", "p256", "--purpose", "raw"), "t p256 raw"),
    ],
)
def test_a_key_is_made_for_whom_and_for_what_it_was_asked(
    generate: Any, words: tuple[str, ...], made: str
) -> None:
    assert generate(*words) == (0, [made])


def test_several_keys_of_one_tenant_are_made(generate: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("--user-id", "t", "-n", "3") == (0, ["t ed25519 tezos"] * 3)
    assert capsys.readouterr().out.count("Public Key Hash: ") == 3


def test_a_vault_without_tenants_says_so_and_makes_nothing(
    generate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate("--user-id", "t", vault="m") == (1, [])
    out, err = capsys.readouterr()
    assert out == ""
    assert "Error: vault m doesn't make keys for tenants\nhint: leave --user-id out" in err


@pytest.mark.parametrize("user_id", ["", "two words", "x" * 257, "t\u00e9nant", "a\nb", "*"])
def test_what_is_no_id_of_a_tenant_is_refused_before_a_vault_is_opened(
    generate: Any, user_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate("--user-id", user_id) == (1, [])
    assert "Error: a user_id is 1 to 256 of the letters" in capsys.readouterr().err


@pytest.mark.parametrize("purpose", ["checkpoint", "anything", ""])
def test_another_purpose_is_not_to_be_had(
    generate: Any, purpose: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, made = generate("--purpose", purpose)
    assert (code != 0, made) == (True, [])
    assert "'tezos', 'raw'" in capsys.readouterr().err


def test_a_purpose_that_the_family_cannot_have_is_refused(
    generate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate("-t", "mldsa65", "--purpose", "tezos") == (1, [])
    assert "ML-DSA-65 keys cannot sign for Tezos" in capsys.readouterr().err
