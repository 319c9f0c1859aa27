"""What the stack prints of births: a line to paste, and a sentence for keys that have none."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cli.local.layout import Layout
from cli.local.stack_report import Result, table, verify_line

KINDS = ("tz1", "tz2", "tz3", "tz4", "tz5")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A folder whose paths are never made but for the births."""
    made = Layout(tmp_path / "dev", tmp_path / "sockets")
    made.births.mkdir(parents=True)
    return made


def shown(layout: Layout, certified: Sequence[str]) -> str:
    """The table where these kinds of keys have a certificate."""
    for kind in certified:
        layout.certificate(kind)[0].touch()
    keys = {kind: f"{kind}key" for kind in KINDS}
    return table(Result("127.0.0.1:1", "127.0.0.1:2", keys, "c", "arn", "unix:e"), layout, bytes(48))


def test_keys_with_births_have_a_line_and_no_excuse(layout: Layout) -> None:
    text = shown(layout, KINDS)
    assert "Verify where the tz1 key was born" in text
    assert "earlier release" not in text


def test_keys_of_an_earlier_release_are_named_and_what_becomes_of_new_ones(layout: Layout) -> None:
    text = shown(layout, ())
    assert "attest verify" not in text
    assert "Made by an earlier release, and so without births: tz1, tz2, tz3, tz4, tz5." in text
    assert "New keys here are sealed by kms-encrypt-v0" in text
    assert "docs/laptop.md" in text


def test_in_a_mixed_folder_the_first_birth_is_verified_and_the_others_are_named(layout: Layout) -> None:
    text = shown(layout, ("tz3", "tz4"))
    assert "Verify where the tz3 key was born" in text
    assert "without births: tz1, tz2, tz5." in text


def test_the_line_names_the_program_beside_the_interpreter_and_files_as_seen_from_here(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(layout.base.parent / "an environment" / "bin" / "python"))
    monkeypatch.chdir(layout.base.parent)
    program, *words = shlex.split(verify_line(layout, "tz2"))
    assert program == "an environment/bin/signatory-cli"
    assert words[:2] == ["attest", "verify"]
    assert words[2:4] == ["--birth-attestation", "dev/births/tz2.attestation"]
    assert words[4:] == ["--metadata", "dev/births/tz2.json", "--manifest", "dev/release.json"]


def test_the_line_runs_where_the_program_lies_in_the_current_folder(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(layout.base / "python"))
    monkeypatch.chdir(layout.base)
    assert verify_line(layout, "tz2").startswith("./signatory-cli attest verify ")


def test_the_line_keeps_a_whole_path_that_is_shorter(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/bin/python")
    deep = layout.base / "one" / "two" / "three" / "four" / "five" / "six"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert verify_line(layout, "tz1").startswith("/opt/bin/signatory-cli attest verify ")
