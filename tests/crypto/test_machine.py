"""The check of the machine: this one passes, one without ADX is named, one without /proc too."""

from pathlib import Path

import pytest

from signatory import machine
from signatory.errors import ConfigError


def test_this_machine_passes() -> None:
    machine.check()


def test_a_processor_without_adx_is_refused_before_it_can_kill_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu sse2 bmi2\n")

    with pytest.raises(ConfigError, match=r"ADX"):
        machine.check(tmp_path / "cpuinfo")


def test_a_machine_without_proc_is_told_to_mount_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        machine.check(tmp_path / "missing")
