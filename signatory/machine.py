"""The machine that we run on, checked before the first key is touched."""

import platform
from pathlib import Path

from signatory.crypto import selftest
from signatory.errors import ConfigError

CPUINFO = Path("/proc/cpuinfo")


def check(cpuinfo: Path = CPUINFO) -> None:
    """Make sure that this processor and this BLS library give right answers; some milliseconds.

    Raises ConfigError for a processor that would end the process at its first BLS key, IntegrityError for a
    library that computes wrongly.
    """
    try:
        text = cpuinfo.read_text("utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"cannot read {cpuinfo}: {error.strerror}", hint="mount /proc") from error
    selftest.check_cpu(platform.machine(), text)
    selftest.check_bls()
