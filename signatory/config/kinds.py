"""Request and operation kinds as the file names them: which are known, and what their old names mean."""

from collections.abc import Iterable

from signatory.config.problems import shown, suggestion
from signatory.policy.kinds import BALLOTS, OPERATION_ALIASES, OPERATION_KINDS, REQUEST_ALIASES, REQUEST_KINDS


def unknown_requests(names: Iterable[str], where: str) -> list[tuple[str, str]]:
    """Each name that is no request kind, with Signatory's text and the nearest kind."""
    known = {*REQUEST_KINDS, *REQUEST_ALIASES}
    return [
        (name, f"invalid request kind `{shown(name)}` in `{where}` list{_instead_of_request(name)}")
        for name in names
        if name not in known
    ]


def unknown_operations(names: Iterable[str], where: str) -> list[tuple[str, str]]:
    """Each name that is no operation kind, with Signatory's text and the nearest kind."""
    known = {*OPERATION_KINDS, *OPERATION_ALIASES, *BALLOTS}
    return [
        (name, f"invalid operation kind `{shown(name)}` in `{where}` list{_instead_of_operation(name)}")
        for name in names
        if name not in known
    ]


def requests(names: Iterable[str]) -> frozenset[str]:
    """The request kinds meant by known names, old or new."""
    return frozenset(REQUEST_ALIASES.get(name, name) for name in names)


def operations(names: Iterable[str]) -> frozenset[str]:
    """The operation kinds meant by known names; `ballot` is all three ballots."""
    found = {OPERATION_ALIASES.get(name, name) for name in names}
    return frozenset({*found, *BALLOTS} - {"ballot"} if "ballot" in found else found)


def current_request(name: str) -> str:
    """The name of a request kind today."""
    return REQUEST_ALIASES.get(name, name)


def current_operation(name: str) -> str:
    """The name of an operation kind today; of one that only requests of version 1 have, the old name."""
    current = OPERATION_ALIASES.get(name, name)
    return current if current in OPERATION_KINDS else name


def renamed(names: Iterable[str]) -> list[tuple[str, str]]:
    """The old names among `names`, each with its new one."""
    aliases = {**OPERATION_ALIASES, **REQUEST_ALIASES}
    return [(name, aliases[name]) for name in names if name in aliases]


def _instead_of_request(name: str) -> str:
    if name in OPERATION_KINDS or name in BALLOTS:
        return "; this is an operation kind, it belongs in the list under `generic`"
    return suggestion(name, REQUEST_KINDS)


def _instead_of_operation(name: str) -> str:
    if name in REQUEST_KINDS:
        return "; this is a request kind, it stands beside `generic`, not in it"
    return suggestion(name, {*OPERATION_KINDS, *BALLOTS})
