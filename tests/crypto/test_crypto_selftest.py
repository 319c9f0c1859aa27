"""The start-up checks of the BLS library."""

import pyblst
import pytest

from signatory.crypto import selftest
from signatory.errors import ConfigError, IntegrityError

FLAGS = "processor\t: 0\nflags\t\t: fpu vme aes {more}rdseed\nbogomips\t: 1\n"


def test_this_library_passes() -> None:
    selftest.check_bls()


def test_a_wrong_golden_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = selftest._ROWS
    monkeypatch.setattr(selftest, "_ROWS", (rows[0], rows[1]._replace(version_1=rows[1].version_2)))
    words = "^the BLS library computes a wrong signature of version 1; no BLS key can be used with it$"
    with pytest.raises(IntegrityError, match=words):
        selftest.check_bls()


def test_a_processor_without_adx_is_refused_with_what_it_means() -> None:
    with pytest.raises(ConfigError) as caught:
        selftest.check_cpu("x86_64", FLAGS.format(more=""))
    assert str(caught.value) == (
        "this processor has no ADX instructions, without which the BLS library would be killed (SIGILL)"
    )
    assert caught.value.hint


def test_other_processors_pass() -> None:
    selftest.check_cpu("x86_64", FLAGS.format(more="adx "))
    selftest.check_cpu("aarch64", "Features\t: fp asimd\n")
    selftest.check_cpu("x86_64", "")


def test_the_rows_are_twelve_values_of_three_keys() -> None:
    assert len({value for row in selftest._ROWS for value in row[2:]}) == 12
    assert pyblst.BlstP1Element().uncompress(bytes.fromhex(selftest._ROWS[2].public))
