"""Key policy documents, read strictly: what is not understood is refused, never passed over.

Source: IAM User Guide, "IAM JSON policy elements reference"; KMS Developer Guide, "Key policies".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from signatory.errors import MalformedError
from signatory.nitro.texts import json_object, shown

_DOCUMENT = frozenset({"Version", "Id", "Statement"})
_VERSIONS = frozenset({"2012-10-17", "2008-10-17"})
_ELEMENTS = frozenset(
    {"Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_NOT_AWS = ("CanonicalUser", "Federated", "Service")
"""Kinds of principals that are nobody who calls; they are kept as `KIND:NAME`."""

_OTHERS = tuple(f"{kind}:" for kind in _NOT_AWS)

_ROOT = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):root")
_ACCOUNT = re.compile(r"[0-9]{12}")
_KNOWN = re.compile(
    r"arn:aws[a-z-]*:(?:iam::[0-9]{12}:(?:root|(?:role|user)/[^*?]+)"
    r"|sts::[0-9]{12}:(?:assumed-role/[^/*?]+/[^/*?]+|federated-user/[^*?]+))"
)
_SESSION = re.compile(r"arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role/([^/]+)/[^/]+")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, its elements as lists. `sid` is `#n`, counted from 0, where the policy gives none."""

    sid: str
    allows: bool
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    not_actions: bool
    resources: tuple[str, ...]
    not_resources: bool
    condition: Mapping[str, Any]


def load(data: bytes) -> Mapping[str, Any]:
    """The document in a file. Raises MalformedError, also for a name twice in one object."""
    try:
        document = json_object(data)
    except MalformedError as error:
        raise MalformedError(f"key policy: {error.message}") from None
    parse(document)
    return document


def parse(policy: Any) -> tuple[Statement, ...]:
    """The statements of a policy document. Raises MalformedError that names the statement and the element."""
    if not isinstance(policy, Mapping) or not isinstance(policy.get("Statement"), list | dict):
        raise MalformedError("key policy: an object with Statement was expected")
    if unknown := sorted(str(name) for name in set(policy) - _DOCUMENT):
        raise MalformedError(f"key policy: {shown(unknown[0])} is not understood")
    if policy.get("Version", "2012-10-17") not in _VERSIONS:
        raise MalformedError("key policy: the Version is not one that is understood")
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    return tuple(_statement(f"#{index}", statement) for index, statement in enumerate(statements))


def account_of(named: str) -> str | None:
    """The account that a principal of a policy names as a whole, None where it names somebody in one."""
    root = _ROOT.fullmatch(named)
    if root:
        return root[1]
    return named if _ACCOUNT.fullmatch(named) else None


def is_caller(named: str, caller: str, *, allows: bool) -> bool | None:
    """Whether the principal that a statement names is this caller, or the role of this caller's session.

    None where it cannot be told: for a principal of unknown form, and for an Allow to a whole account, which
    leaves it to the account's IAM policies who else than its root is let in.
    """
    if named in ("*", caller):
        return True
    if named.startswith(_OTHERS):
        return False
    if (account := account_of(named)) is not None:
        if caller.split(":")[4:5] != [account]:
            return False
        return True if not allows or account_of(caller) is not None else None
    if not _KNOWN.fullmatch(named):
        return None
    return _is_role_of(named, caller)


def _is_role_of(named: str, caller: str) -> bool:
    """Whether the caller is a session of this role; the session's ARN does not have the role's path."""
    session = _SESSION.fullmatch(caller)
    if session is None:
        return False
    head = f"arn:{session[1]}:iam::{session[2]}:role/"
    return named.startswith(head) and named.rpartition("/")[2] == session[3]


def _statement(place: str, statement: Any) -> Statement:
    if not isinstance(statement, Mapping):
        raise MalformedError(f"key policy: statement {place} is not an object")
    sid = statement.get("Sid") or place
    unknown = sorted(str(name) for name in set(statement) - _ELEMENTS)
    if not isinstance(sid, str) or unknown:
        raise MalformedError(
            f"key policy: statement {place}: {shown((unknown or ['Sid'])[0])} is not understood"
        )
    if (effect := statement.get("Effect")) not in ("Allow", "Deny"):
        raise MalformedError(f"key policy: statement {place}: Effect must be Allow or Deny")
    condition = statement.get("Condition", {})
    if not isinstance(condition, Mapping):
        raise MalformedError(f"key policy: statement {place}: Condition must be an object")
    return Statement(
        sid=sid,
        allows=effect == "Allow",
        principals=_principals(place, statement.get("Principal")),
        actions=_one_of(place, statement, "Action"),
        not_actions="NotAction" in statement,
        resources=_one_of(place, statement, "Resource"),
        not_resources="NotResource" in statement,
        condition=condition,
    )


def _one_of(place: str, statement: Mapping[str, Any], name: str) -> tuple[str, ...]:
    given = [statement[each] for each in (name, f"Not{name}") if each in statement]
    if len(given) != 1:
        raise MalformedError(
            f"key policy: statement {place}: exactly one of {name} and Not{name} was expected"
        )
    return _texts(place, name, given[0])


def _principals(place: str, principal: Any) -> tuple[str, ...]:
    if isinstance(principal, Mapping):
        if not principal or not set(principal) <= {"AWS", *_NOT_AWS}:
            raise MalformedError(f"key policy: statement {place}: Principal is not understood")
        named = {kind: _texts(place, "Principal", principal[kind]) for kind in sorted(principal)}
        others = (f"{kind}:{name}" for kind in _NOT_AWS for name in named.get(kind, ()))
        return (*named.get("AWS", ()), *others)
    if principal != "*":
        raise MalformedError(f'key policy: statement {place}: Principal must be "*" or an object')
    return ("*",)


def _texts(place: str, name: str, value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, str) for item in values):
        raise MalformedError(f"key policy: statement {place}: {name} must be a text or a list of texts")
    return tuple(values)
