"""What the change from one key policy to another opens and closes, by the meaning of their statements.

Order, Sids, how statements are cut, and lists against patterns make no difference. Two policies without a
change decide every call alike; two that differ here may still do, where one statement stands in the other's
shadow.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from signatory.nitro.keypolicy_conditions import wild
from signatory.nitro.keypolicy_names import ACTIONS, CONTEXT_KEY, CONTEXT_KEYS, IMAGE_KEY, PCR_KEY
from signatory.nitro.keypolicy_statements import Statement, account_of, parse

_EVERY_OTHER = "every action that is not known today"
_NAMES = {action.lower(): action for action in ACTIONS}
_IGNORING_CASE = ("IgnoreCase", "IgnoreCaseIfExists", "Bool", "BoolIfExists", "Null")
_IS = re.compile(r"StringEquals(IgnoreCase)?")


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One difference. `opens`: what was refused may be allowed now; otherwise it is the other way round."""

    opens: bool
    text: str
    conditions: tuple[str, ...] = ()
    """Under which all of them; none for always."""


class _Line(NamedTuple):
    """One line of a condition; its values as texts, in one order."""

    operator: str
    key: str
    values: tuple[str, ...]


class _Head(NamedTuple):
    """What an atom says but for who does what."""

    allows: bool
    resources: str
    condition: tuple[_Line, ...]


class _Atom(NamedTuple):
    """The smallest statement: one principal, one action."""

    head: _Head
    principal: str
    action: str


def compare(before: Any, after: Any) -> tuple[Change, ...]:
    """The changes, none where both mean the same; what closes stands first. Raises MalformedError."""
    old, new = _atoms(before), _atoms(after)
    changes = {_change(head, f"no longer {text}", not head.allows) for head, text in _told(old - new)}
    changes |= {_change(head, text, head.allows) for head, text in _told(new - old)}
    if _version(before) != _version(after):
        changes.add(Change(True, "another Version: policy variables are read in another way"))
    return tuple(sorted(changes))


def _change(head: _Head, text: str, opens: bool) -> Change:
    return Change(opens, text, tuple(map(_plain, head.condition)))


def _version(policy: Mapping[str, Any]) -> str | None:
    """The version, where it makes a difference."""
    return str(policy.get("Version", "2008-10-17")) if "${" in json.dumps(policy["Statement"]) else None


def _atoms(policy: Any) -> frozenset[_Atom]:
    return frozenset(atom for statement in parse(policy) for atom in _split(statement))


def _split(statement: Statement) -> Iterator[_Atom]:
    resources = ("all but " if statement.not_resources else "") + ", ".join(sorted(set(statement.resources)))
    head = _Head(statement.allows, resources, _condition(statement.condition))
    principals = {"*"} if "*" in statement.principals else {_principal(each) for each in statement.principals}
    for principal in principals:
        for action in _actions(statement):
            yield _Atom(head, principal, action)


def _principal(named: str) -> str:
    account = account_of(named)
    return named if account is None else f"the account {account}"


def _actions(statement: Statement) -> set[str]:
    patterns = [pattern.lower() for pattern in statement.actions]
    known = {name for low, name in _NAMES.items() if any(wild(pattern, low) for pattern in patterns)}
    rest = any(wild(pattern, "kms:") and pattern.endswith("*") for pattern in patterns)
    if statement.not_actions:
        return (set(ACTIONS) - known) | (set() if rest else {_EVERY_OTHER})
    unknown = {pattern for pattern in patterns if not any(wild(pattern, low) for low in _NAMES)}
    return known | unknown | ({_EVERY_OTHER} if rest else set())


def _condition(condition: Mapping[str, Any]) -> tuple[_Line, ...]:
    lines = set()
    for operator, inner in condition.items():
        if not isinstance(inner, Mapping) or not inner:
            lines.add(_Line(str(operator), "", (json.dumps(inner, sort_keys=True),)))
            continue
        for key, wanted in inner.items():
            values = wanted if isinstance(wanted, list) else [wanted]
            lines.add(_Line(str(operator), _key(str(key)), _values(str(operator), values)))
    return tuple(sorted(lines))


def _key(key: str) -> str:
    """Case makes no difference; the well-known condition keys are shown as AWS writes them."""
    low = key.lower()
    for known in (IMAGE_KEY, CONTEXT_KEYS):
        if low == known.lower():
            return known
    for prefix in (PCR_KEY, CONTEXT_KEY):
        if low.startswith(prefix.lower()):
            return prefix + low[len(prefix) :]
    return low


def _values(operator: str, values: list[Any]) -> tuple[str, ...]:
    texts = {value if isinstance(value, str) else json.dumps(value, sort_keys=True) for value in values}
    return tuple(sorted({text.lower() for text in texts} if operator.endswith(_IGNORING_CASE) else texts))


def _told(atoms: frozenset[_Atom]) -> Iterator[tuple[_Head, str]]:
    """The atoms in sentences: first all actions of one principal, then all principals of the same actions."""
    by_principal: dict[tuple[_Head, str], set[str]] = defaultdict(set)
    for atom in atoms:
        by_principal[atom.head, atom.principal].add(atom.action)
    by_actions: dict[tuple[_Head, frozenset[str]], set[str]] = defaultdict(set)
    for (head, principal), actions in by_principal.items():
        by_actions[head, frozenset(actions)].add(principal)
    for (head, acts), principals in by_actions.items():
        yield head, _sentence(head, acts, sorted(principals))


def _sentence(head: _Head, actions: frozenset[str], principals: list[str]) -> str:
    who = "everybody" if principals == ["*"] else ", ".join(principals)
    what = "every action" if actions >= {*ACTIONS, _EVERY_OTHER} else ", ".join(_in_order(actions))
    place = "" if head.resources == "*" else f" on {head.resources}"
    return f"{'allowed' if head.allows else 'denied'}: {who}: {what}{place}"


def _in_order(actions: frozenset[str]) -> list[str]:
    named = sorted(actions - {_EVERY_OTHER})
    return [*named, _EVERY_OTHER] if _EVERY_OTHER in actions else named


def _plain(line: _Line) -> str:
    operator, key, values = line
    either = " or ".join(values)
    if operator == "Null" and values in (("true",), ("false",)):
        return _presence(key, there=values == ("false",))
    if operator == "ForAllValues:StringEquals" and key == CONTEXT_KEYS:
        return f"the encryption context has no key but {either}"
    if _IS.fullmatch(operator) and key == IMAGE_KEY:
        return f"the image (ImageSha384) is {either}"
    if _IS.fullmatch(operator) and key.startswith(PCR_KEY):
        return f"PCR{key.removeprefix(PCR_KEY)} is {either}"
    if _IS.fullmatch(operator) and key.startswith(CONTEXT_KEY):
        return f"the encryption context's {key.removeprefix(CONTEXT_KEY)} is {either}"
    return f"{operator} {key} {either}"


def _presence(key: str, *, there: bool) -> str:
    if key == IMAGE_KEY:
        return f"there is {'an' if there else 'no'} attestation document"
    if key == CONTEXT_KEYS:
        return f"there is {'an' if there else 'no'} encryption context"
    if key.startswith(CONTEXT_KEY):
        return f"the encryption context has {'the' if there else 'no'} key {key.removeprefix(CONTEXT_KEY)}"
    return f"{key} is {'there' if there else 'not there'}"
