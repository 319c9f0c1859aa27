"""Key policies of KMS, decided offline as KMS decides. One engine for emulator and tools.

What it does not know it never reads in anybody's favour. Where the answer opens something (the emulator, a
call that must be allowed) doubt refuses: an Allow in doubt does not match, a Deny in doubt does. Where the
answer vouches that something is shut (a call that must be refused) doubt allows. `Reading` says which.
Sources: IAM User Guide, "Policy evaluation logic"; KMS Developer Guide, "Condition keys for Nitro Enclaves".
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from signatory.nitro.keypolicy_build import build
from signatory.nitro.keypolicy_conditions import Context, holds, wild
from signatory.nitro.keypolicy_names import CONTEXT_KEY, CONTEXT_KEYS, IMAGE_KEY, PCR_KEY, RECIPIENT_ACTIONS
from signatory.nitro.keypolicy_statements import Statement, is_caller, load, parse

__all__ = ["IMAGE_KEY", "RECIPIENT_ACTIONS", "Statement", "build", "load", "parse"]  # said as keypolicy.build

_TOLD = re.compile(
    r"kms:recipientattestation:(imagesha384|pcr([0-9]|[12][0-9]|3[01]))"
    r"|kms:encryptioncontextkeys|kms:encryptioncontext:.+"
)
"""The condition keys of a request that are told in full: one that is not there is not in the request."""


class Reading(Enum):
    """What becomes of a statement of which it cannot be told whether it speaks of the call."""

    DOUBT_REFUSES = "doubt refuses"
    DOUBT_ALLOWS = "doubt allows"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`statement_id` is the Sid (or `#n`, counted from 0) that decided, None where nothing matched."""

    allowed: bool
    statement_id: str | None
    reason: str
    """When refused, worded as AWS words it."""
    explicit_deny: bool = False


def context_of(
    pcrs: Mapping[int, bytes] | None, encryption_context: Mapping[str, str]
) -> dict[str, str | Sequence[str]]:
    """The condition keys of one call, from its recipient's verified registers (if any) and its context.

    Zero registers give no key: a debug enclave cannot meet a condition, not even one written with zeros.
    """
    set_pcrs = {index: value.hex() for index, value in (pcrs or {}).items() if any(value)}
    keys: dict[str, str | Sequence[str]] = {f"{PCR_KEY}{index}": value for index, value in set_pcrs.items()}
    if 0 in set_pcrs:
        keys[IMAGE_KEY] = set_pcrs[0]
    keys |= {f"{CONTEXT_KEY}{name}": value for name, value in encryption_context.items()}
    if encryption_context:
        keys[CONTEXT_KEYS] = tuple(encryption_context)
    return keys


def evaluate(
    policy: Any,
    action: str,
    principal: str,
    context: Context,
    *,
    resource: str | None = None,
    reading: Reading = Reading.DOUBT_REFUSES,
    untold: Collection[str] = (),
) -> Verdict:
    """Whether this policy lets `principal` (an ARN) do `action`: a deny wins, what is not allowed is denied.

    `resource` is the key's ARN, None where it is not known; `untold` are condition keys that the request may
    have although `context` lacks them. An Allow to the whole account leaves it to IAM policies, which are not
    seen here: that is doubt. Grants, boundaries and policies of the organisation are not seen either.
    Raises MalformedError for a policy that cannot be read; what `parse` gave is taken too.
    """
    statements = parse(policy) if not isinstance(policy, tuple) else policy
    keys = _keys_of(principal) | dict(context)
    hidden = {key.lower() for key in untold}

    def applies(statement: Statement) -> bool:
        found = _matches(statement, action, principal, resource)
        if found is not False:
            condition = holds(
                statement.condition, keys, lambda key: key not in hidden and _TOLD.fullmatch(key) is not None
            )
            found = condition if found or condition is False else None
        return statement.allows == (reading is Reading.DOUBT_ALLOWS) if found is None else found

    matching = [each for each in statements if applies(each)]
    refusal = f"User: {principal} is not authorized to perform: {action} on resource: {resource or '*'}"
    for each in matching:
        if not each.allows:
            return Verdict(
                False, each.sid, f"{refusal} with an explicit deny in a resource-based policy", True
            )
    for each in matching:
        return Verdict(True, each.sid, f"allowed by statement {each.sid}")
    return Verdict(False, None, f"{refusal} because no resource-based policy allows the {action} action")


def _keys_of(principal: str) -> dict[str, str | Sequence[str]]:
    """The condition keys that say who calls. A session does not tell the path of its role."""
    account = (principal.split(":") + [""] * 5)[4]
    keys: dict[str, str | Sequence[str]] = {"aws:PrincipalAccount": account, "kms:CallerAccount": account}
    return keys if ":assumed-role/" in principal else keys | {"aws:PrincipalArn": principal}


def _matches(statement: Statement, action: str, principal: str, resource: str | None) -> bool | None:
    """Whether all but the condition speaks of this call; None where it cannot be told."""
    actions = any(wild(pattern.lower(), action.lower()) for pattern in statement.actions)
    found = [
        actions != statement.not_actions,
        _covers(statement, resource),
        _any(is_caller(named, principal, allows=statement.allows) for named in statement.principals),
    ]
    return False if False in found else None if None in found else True


def _covers(statement: Statement, resource: str | None) -> bool | None:
    named = _any(_fits(pattern, resource) for pattern in statement.resources)
    return None if named is None else named != statement.not_resources


def _fits(pattern: str, resource: str | None) -> bool | None:
    if set(pattern) == {"*"}:
        return True
    return None if resource is None or "${" in pattern else wild(pattern, resource)


def _any(answers: Collection[bool | None] | Any) -> bool | None:
    found = list(answers)
    return True if True in found else None if None in found else False
