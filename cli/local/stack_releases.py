"""The laptop's release manifest: the measurement that may run, and the earlier ones, called back.

An earlier one stays in it, so that the births of keys which it certified can still be verified; the daemon
trusts none but the last.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cli.local import state
from cli.local.layout import Layout

RELEASE = "dev-not-genuine"
"""What the enclave's program calls itself here."""
KEPT = 100
"""Measurements that are remembered."""

_REGISTERS = ("PCR0", "PCR1", "PCR2")


def record(layout: Layout, root_sha256: bytes, measured: Mapping[int, bytes], now: datetime) -> None:
    """Let this measurement run from now on, and no other. Raises ConfigError, UnavailableError."""
    current = {name: measured[index].hex() for index, name in enumerate(_REGISTERS)}
    others = [each for each in _recorded(layout) if any(each[name] != current[name] for name in _REGISTERS)]
    back = {"at": now.isoformat(), "reason": "the program or its settings changed"}
    earlier = [{"revoked": back, **each} for each in others]
    releases = [*earlier[1 - KEPT :], {"version": RELEASE, **current}]
    state.write_json(layout.releases, {"root_sha256": root_sha256.hex(), "releases": releases})


def _recorded(layout: Layout) -> list[dict[str, Any]]:
    found = state.read_json(layout.releases) if layout.releases.exists() else {}
    listed = found.get("releases", [])
    return [each for each in listed if isinstance(each, dict) and set(_REGISTERS) <= set(each)]
