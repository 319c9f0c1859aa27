"""Whose code runs: strangers in the way are named, and nothing of theirs is trusted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli import provenance

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_ours_are_ours() -> None:
    assert provenance.strangers() == []
    assert provenance.home() == ROOT


@pytest.mark.parametrize("module", ["cli.signatory", "cli.signatory_cli"])
@pytest.mark.parametrize("name", ["signatory", "vaults", "enclave_signer"])
def test_a_stray_module_in_the_working_folder_is_named_and_not_run(
    tmp_path: Path, module: str, name: str
) -> None:
    (tmp_path / f"{name}.py").write_text("print('stray code ran')\n")
    done = run(tmp_path, "-m", module, "version")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Error: `{name}` comes from {tmp_path}/{name}.py, not from {ROOT}/{name}" in done.stderr
    assert "hint: start from another folder" in done.stderr


def test_a_stray_package_on_the_path_is_named(tmp_path: Path) -> None:
    (tmp_path / "vaults").mkdir()
    (tmp_path / "vaults" / "__init__.py").write_text("print('stray code ran')\n")
    code = "import sys; from cli.signatory import main; sys.argv = ['signatory', 'version']; main()"
    done = run(Path("/"), "-c", code, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "`vaults` comes from " in done.stderr


def test_a_stray_cli_in_the_working_folder_never_runs_isolated(tmp_path: Path) -> None:
    for name in provenance.PACKAGES:
        (tmp_path / f"{name}.py").write_text("print('stray code ran')\n")
    done = run(tmp_path, "-I", "-m", "cli.signatory", "version")
    assert done.returncode == 0
    assert "stray" not in done.stdout


@pytest.mark.parametrize("change", ["missing", "namespace", "not ours"])
def test_a_copy_with_a_package_missing_or_replaced_is_refused(tmp_path: Path, change: str) -> None:
    for name, witness in provenance.PACKAGES.items():
        (tmp_path / name).mkdir()
        for file in {"__init__.py", witness}:
            (tmp_path / name / file).write_text("")
    for file in ("provenance.py", "signatory.py"):
        (tmp_path / "cli" / file).write_text((ROOT / "cli" / file).read_text())
    if change != "not ours":
        (tmp_path / "vaults" / "__init__.py").unlink()
    (tmp_path / "vaults" / "memory.py").unlink()
    if change == "missing":
        (tmp_path / "vaults").rmdir()
    done = run(tmp_path, "-S", "-m", "cli.signatory", "version")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "vaults" in done.stderr.splitlines()[0]
