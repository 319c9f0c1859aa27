"""`signatory-cli kms-policy`: what it prints, what it compares, what it tries, and its exit codes."""

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from click.testing import CliRunner

from cli.admin import program

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/enclave"
WHO = ("--account", ACCOUNT, "--enclave-role", ROLE)
PCRS = ("--pcr", f"0={'a0' * 48}", "--pcr", f"1={'a1' * 48}", "--pcr", f"2={'a2' * 48}")
OTHER = ("--pcr", f"0={'b0' * 48}", "--pcr", f"1={'b1' * 48}", "--pcr", f"2={'b2' * 48}")


def run(*words: str) -> CompletedProcess[str]:
    done = CliRunner().invoke(program, ["-c", "", "kms-policy", *words], standalone_mode=False)
    error = "" if done.exception is None else str(done.exception)
    code = 1 if done.exception is not None else int(done.return_value or 0)
    return CompletedProcess(words, code, done.stdout, error)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.json"
    assert run("build", *WHO, *PCRS, "-o", str(file)).returncode == 0
    return file


def changed(policy: Path, name: str, change: Any) -> str:
    document = json.loads(policy.read_text())
    change(document["Statement"])
    file = policy.with_name(name)
    file.write_text(json.dumps(document))
    return str(file)


def test_a_policy_is_printed_the_same_each_time_and_binds_key_id() -> None:
    first, second = run("build", *WHO, *PCRS), run("build", *WHO, *PCRS)
    assert (first.returncode, first.stdout) == (0, second.stdout)
    sids = [statement["Sid"] for statement in json.loads(first.stdout)["Statement"]]
    assert sids == ["Administration", "EnclaveImage1KeyId", "DenyWithoutRecipient", "DenyToTheRole"]


def test_a_register_that_was_given_starts_the_next_image() -> None:
    done = run("build", *WHO, *PCRS, "--pcr", f"8={'a8' * 48}", *OTHER, "--context-keys", "user_id,key_id")
    statements = {each["Sid"]: each for each in json.loads(done.stdout)["Statement"]}
    first = statements["EnclaveImage1UserId"]["Condition"]["StringEqualsIgnoreCase"]
    second = statements["EnclaveImage2KeyId"]["Condition"]["StringEqualsIgnoreCase"]
    assert first["kms:RecipientAttestation:PCR8"] == "a8" * 48
    assert second == {
        "kms:RecipientAttestation:ImageSha384": "b0" * 48,
        "kms:RecipientAttestation:PCR0": "b0" * 48,
        "kms:RecipientAttestation:PCR1": "b1" * 48,
        "kms:RecipientAttestation:PCR2": "b2" * 48,
    }


def test_the_images_of_a_manifest_are_let_in_but_for_those_called_back(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    images = [
        {"version": version, **{f"PCR{index}": f"{version}{index}" * 48 for index in (0, 1, 2)}}
        for version in ("a", "b", "c")
    ]
    images[1]["revoked"] = True
    file.write_text(json.dumps({"releases": images}))
    text = run("build", *WHO, "--manifest", str(file)).stdout
    assert "a0" * 48 in text
    assert "c2" * 48 in text
    assert "b0" * 48 not in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--manifest or by --pcr: one of them is needed"),
        ((*PCRS, "--manifest", "x"), "--manifest or by --pcr, not both"),
        (PCRS[:4], "PCR0, PCR1 and PCR2"),
        (("--pcr", "0=00"), "96 hex digits"),
        (("--pcr", f"32={'a0' * 48}"), "N from 0 to 31"),
        (("--pcr", "PCR0"), "N from 0 to 31"),
        ((*PCRS[:4], "--pcr", f"2={'00' * 48}"), "not all zero"),
        ((*PCRS, "--context-keys", "department"), "key_id or user_id"),
        ((*PCRS, "--context-keys", ""), "key_id or user_id"),
        ((*PCRS, "--administrator", ROLE), "cannot administer"),
    ],
)
def test_what_would_open_further_or_is_not_understood_is_not_built(words: tuple[str, ...], told: str) -> None:
    done = run("build", *WHO, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr


def test_a_role_of_another_account_is_warned_of() -> None:
    other = ROLE.replace(ACCOUNT, "444455556666")
    words = ["kms-policy", "build", "--account", ACCOUNT, "--enclave-role", other, *PCRS]
    done = CliRunner().invoke(program, words)
    assert done.stderr.startswith(f"warning: the role is of account 444455556666, the key of {ACCOUNT}")
    assert other in done.stdout
    assert CliRunner().invoke(program, ["kms-policy", "build", *WHO, *PCRS]).stderr == ""


def test_equal_policies_are_equal_and_a_difference_is_said(policy: Path) -> None:
    reordered = changed(policy, "b.json", lambda statements: statements.reverse())
    done = run("diff", str(policy), reordered)
    assert (done.returncode, done.stdout) == (0, "The two policies mean the same.\n")
    other = changed(
        policy,
        "c.json",
        lambda statements: statements[1]["Condition"]["StringEqualsIgnoreCase"].update(
            {"kms:RecipientAttestation:PCR2": "b2" * 48}
        ),
    )
    done = run("diff", str(policy), other)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"closes  no longer allowed: {ROLE}: kms:Decrypt, kms:GenerateDataKey")
    assert f"          and PCR2 is {'a2' * 48}" in lines
    assert f"          and PCR2 is {'b2' * 48}" in lines
    assert f"opens   allowed: {ROLE}: kms:Decrypt, kms:GenerateDataKey" in lines


def test_what_was_built_simulates_well(policy: Path) -> None:
    done = run("simulate", str(policy))
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[-1].endswith("calls, none not as expected")
    assert all(line.startswith("ok ") for line in lines[1:-1])
    assert run("simulate", str(policy), "--role", ROLE, *PCRS).returncode == 0


def test_another_image_than_expected_is_told(policy: Path) -> None:
    done = run("simulate", str(policy), *OTHER)
    assert done.returncode == 1
    assert "NOT  allowed   refused" in done.stdout


def test_rows_come_as_json_too(policy: Path) -> None:
    def open_encrypt(statements: list[Any]) -> None:
        statements[-1]["Action"].remove("kms:Encrypt")

    done = run("simulate", changed(policy, "d.json", open_encrypt), "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["as_expected"]) == (1, False)
    assert [row for row in found["rows"] if not row["as_expected"]] == [
        {
            "action": "kms:Encrypt",
            "caller": "the enclave's role",
            "principal": f"arn:aws:sts::{ACCOUNT}:assumed-role/enclave/simulated",
            "call": "",
            "expected": "denied",
            "verdict": "refused",
            "statement": None,
            "as_expected": False,
        }
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not well-formed JSON"),
        ("[]", "a JSON object was expected"),
        ('{"Statement": [], "Statement": []}', "stands twice"),
        ('{"Statement": [{"Effect": "Deny", "NotPrincipal": "*"}]}', "'NotPrincipal' is not understood"),
        ('{"Statement": []}', "does not let exactly one role"),
    ],
)
def test_a_policy_that_cannot_be_read_is_no_good_policy(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "policy.json"
    file.write_text(text)
    done = run("simulate", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert run("diff", str(file), str(tmp_path / "none.json")).returncode == 1
