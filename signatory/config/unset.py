"""Keys that shut somebody out, with nothing after them: they count as absent, and shut out nobody."""

from collections.abc import Iterator, Mapping
from typing import Any

from signatory.config.problems import Path, Problem

_SERVER = ("authorized_keys", "jwt", "tls")
_KEY = ("allowed_chains", "authorized_keys", "jwt_users")


def unset(tree: Mapping[str, Any]) -> list[Problem]:
    """A warning for each of them: Signatory takes them for absent too, and few people mean it."""
    text = "nothing stands after it, so it has no effect"
    return [Problem(path, text) for path in _empty(tree)]


def _empty(tree: Mapping[str, Any]) -> Iterator[Path]:
    yield from _nulls(tree, ("policy_hook",), ())
    yield from _nulls(tree.get("server"), _SERVER, ("server",))
    keys = tree.get("tezos")
    for name, settings in keys.items() if isinstance(keys, dict) else ():
        yield from _nulls(settings, _KEY, ("tezos", name))


def _nulls(section: Any, names: tuple[str, ...], path: Path) -> Iterator[Path]:
    if isinstance(section, dict):
        yield from ((*path, name) for name in names if name in section and section[name] is None)
