"""What differs between two configurations, by the paths of the file. Values are never told, only where.

What a running daemon takes over when it reads the file again is told apart from what needs a restart.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from signatory.config.models import Config
from signatory.config.problems import Path, dotted

_ABSENT = object()
"""Not None: a key under `tezos:` with nothing after it is there."""

_OF_SERVER = frozenset({"authorized_keys", "jwt", "tls"})
"""What is taken over from `server:`; of `tls` the files, not whether there is TLS at all."""


def taken_over(old: Config, new: Config) -> tuple[str, ...]:
    """The paths that differ and take effect at once."""
    return tuple(dotted(path) for path in _live(old, new))


def left_for_restart(running: Config, new: Config) -> tuple[str, ...]:
    """The paths that differ from what the daemon was started with, and take effect at its next start only."""
    return tuple(dotted(path) for path in _fixed(running, new))


def _live(old: Config, new: Config) -> Iterator[Path]:
    if old.log != new.log:
        yield ("log", "level")
    if old.server.authorized_keys != new.server.authorized_keys:
        yield ("server", "authorized_keys")
    if (old.server.jwt is None) != (new.server.jwt is None):
        yield ("server", "jwt")
    elif old.server.jwt is not None and new.server.jwt is not None:
        for name in _differing(old.server.jwt.users, new.server.jwt.users):
            yield ("server", "jwt", "users", name)
    if old.server.tls != new.server.tls and not _switched(old, new):
        yield ("server", "tls")
    for name in _differing(old.tezos, new.tezos):
        yield ("tezos", name)


def _fixed(running: Config, new: Config) -> Iterator[Path]:
    if running.base_dir != new.base_dir:
        yield ("base_dir",)
    for name in type(new.server).model_fields:
        if name not in _OF_SERVER and getattr(running.server, name) != getattr(new.server, name):
            yield ("server", name)
    if _switched(running, new):
        yield ("server", "tls")
    for name in _differing(running.vaults, new.vaults):
        yield ("vaults", name)
    for name in ("watermark", "policy_hook"):
        if getattr(running, name) != getattr(new, name):
            yield (name,)


def _switched(old: Config, new: Config) -> bool:
    """Whether TLS was switched on or off."""
    return (old.server.tls is None) != (new.server.tls is None)


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in {**old, **new}:
        if old.get(name, _ABSENT) != new.get(name, _ABSENT):
            yield name
