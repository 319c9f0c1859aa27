"""The commands that need no configuration, and how every command line ends."""

import json
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from cli.program import run as run_program
from signatory.errors import DeniedError

Run = Callable[..., subprocess.CompletedProcess[str]]

REQUESTS = """\
Possible request types:
    - attestation
    - attestation_with_dal
    - block
    - generic
    - pack
    - preattestation
"""
OPERATIONS = [
    "activate_account",
    "attestations_aggregate",
    "ballot",
    "dal_entrapment_evidence",
    "dal_publish_commitment",
    "delegation",
    "double_baking_evidence",
    "double_consensus_operation_evidence",
    "drain_delegate",
    "failing_noop",
    "finalize_unstake",
    "increase_paid_storage",
    "origination",
    "preattestations_aggregate",
    "proposals",
    "register_global_constant",
    "reveal",
    "seed_nonce_revelation",
    "set_delegate_parameters",
    "set_deposits_limit",
    "signature_prefix",
    "smart_rollup_add_messages",
    "smart_rollup_cement",
    "smart_rollup_execute_outbox_message",
    "smart_rollup_originate",
    "smart_rollup_publish",
    "smart_rollup_recover_bond",
    "smart_rollup_refute",
    "smart_rollup_timeout",
    "stake",
    "transaction",
    "transfer_ticket",
    "unstake",
    "update_companion_key",
    "update_consensus_key",
    "vdf_revelation",
    "zk_rollup_origination",
    "zk_rollup_publish",
    "zk_rollup_update",
]


def test_list_requests_prints_what_signatory_prints(run: Run) -> None:
    done = run("list-requests")
    assert (done.returncode, done.stdout, done.stderr) == (0, REQUESTS, "")


def test_list_ops_prints_all_39_kinds_sorted(run: Run) -> None:
    lines = run("list-ops").stdout.splitlines()
    assert lines == ["Possible operation types:", *(f"    - {name}" for name in OPERATIONS)]
    assert len(OPERATIONS) == 39


@pytest.mark.parametrize("program", ["cli.signatory", "cli.signatory_cli"])
@pytest.mark.parametrize("word", ["version", "v"])
def test_version_says_which_on_what_and_from_where(run: Run, program: str, word: str) -> None:
    said = run(word, program=program)
    assert said.stdout == f"Release Version: {version('signatory-vault')}\n"  # as Signatory, and no more
    python, home = said.stderr.splitlines()
    assert python.startswith("Python: 3.")
    assert home == f"From: {Path(__file__).resolve().parents[2]}"


def test_facts_need_no_configuration(run: Run, folder: Path) -> None:
    (folder / "signatory.yaml").unlink()
    for word in ("list-requests", "list-ops", "version"):
        assert run(word).returncode == 0


def test_options_stand_before_or_after_the_command_and_the_later_wins(run: Run, folder: Path) -> None:
    (folder / "other.yaml").write_text("base_dir: other\n")
    assert "other.yaml: good" in run("config", "check", "-c", "other.yaml").stdout
    assert "signatory.yaml: good" in run("config", "check").stdout
    assert "base folder: /x" in run("--base-dir", "/x", "config", "check").stdout
    assert "base folder: /y" in run("--base-dir", "/x", "config", "check", "--base-dir", "/y").stdout


def test_an_empty_config_option_means_the_defaults(run: Run) -> None:
    assert run("config", "check", "-c", "").stdout.startswith(
        "defaults: good\n    base folder: /var/lib/signatory\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("generate",),
        ("list", "--nonsense"),
        ("--log", "loud", "list"),
        ("bench", "--clients", "1,0"),
        ("bench", "--clients", "many"),
    ],
)
def test_a_wrong_command_line_shows_the_usage_and_ends_with_1(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.returncode == 1
    assert "Usage: signatory-cli" in done.stderr
    assert "Error: " in done.stderr
    assert done.stdout == ""


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    done = run()
    assert done.returncode == 0
    assert "import" in done.stdout


def test_every_error_of_a_configuration_is_listed_and_the_code_is_1(run: Run, folder: Path) -> None:
    (folder / "signatory.yaml").write_text(
        "serve: 1\nvaults: {n: {driver: nitro, config: {cid: 3}}, k: {driver: azure}}"
    )
    for program, words in (("cli.signatory", ["serve"]), ("cli.signatory_cli", ["config", "check"])):
        done = run(*words, program=program)
        assert done.returncode == 1
        assert done.stderr.splitlines()[0] == "Error: 4 problems in signatory.yaml:"
        for told in (
            "did you mean `server`?",
            "n.config.encryption_key_id",
            "n.config.cid",
            "driver `azure` of Signatory",
        ):
            assert told in done.stderr
        assert done.stdout == ""


def test_unknown_keys_are_warnings_when_asked(run: Run, folder: Path) -> None:
    with (folder / "signatory.yaml").open("a") as file:
        file.write("serve: 1\n")
    assert run("config", "check").returncode == 1
    done = run("config", "check", "--allow-unknown-keys")
    assert done.returncode == 0
    assert "Warning: serve (line 6): unknown key; did you mean `server`?" in done.stderr
    assert "unknown key" in run("--allow-unknown-keys", "list").stderr


def test_a_missing_file_is_one_line_and_a_hint(run: Run) -> None:
    done = run("list", "-c", "none.yaml")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: cannot read the configuration none.yaml: No such file or directory",
        "hint: name the file with -c; `-c ''` uses the defaults",
    ]


def test_log_lines_are_json_when_asked_and_silent_below_the_level(run: Run) -> None:
    lines = run("--json-log", "list").stderr.splitlines()
    assert [json.loads(line)["msg"] for line in lines] == ["No valid keys found in the vault f"]
    assert run("list", "--log", "panic").stderr == ""


def failing(error: BaseException) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


def test_the_text_of_a_foreign_error_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["x"])
    assert run_program(failing(ValueError("edsk-secret")), "x") == 1
    told = capsys.readouterr().err
    assert "Error: internal error: ValueError" in told
    assert "edsk-secret" not in told
    assert "in command" in told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DeniedError("no", hint="ask"), "Error: no\nhint: ask\n"),
        (DeniedError("no"), "Error: no\n"),
        (click.Abort(), "Error: interrupted\n"),
        (click.ClickException("x"), "Error: x\n"),
    ],
)
def test_an_error_is_one_line_and_what_to_do(
    error: BaseException, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["x"])
    assert run_program(failing(error), "x") == 1
    assert capsys.readouterr().err == told
