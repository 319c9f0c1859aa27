"""Who may have what signed: one answer for one request, with the rule that decided.

Source: signatory-compat §1.3 and §2. The order of the checks and their texts are Signatory's; clients and
dashboards depend on both. Ours stand where they change neither: who is still known comes first, limits last.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from signatory.policy import limits
from signatory.policy.counters import LEVEL_STEP, RATE, level_step
from signatory.policy.kinds import BALLOTS
from signatory.policy.values import Client, Decision, KeyPolicy, Outcome, Policy, Verdict
from signatory.tezos.requests import SignRequest

LISTED = "tezos"
"""The rule of a key that is not listed."""

AUTHENTICATION = "authentication"
"""The label of the metric for a client who may not use a key."""


def admitted(policy: Policy, pkh: str, client: Client) -> Decision:
    """Whether this client may use the key at all; asked before the request is even read, and for proofs.

    The client's key and user must be among those of this snapshot, which matters after a reload; then the key
    must be listed, and the user one of the key's.
    """
    return decided(admission(policy, pkh, client), _ADMITTED)


def listed(policy: Policy, pkh: str) -> Decision:
    """Whether the key may sign anything at all."""
    return decided((_listed(policy, pkh),), _ADMITTED)


def evaluate(policy: Policy, pkh: str, request: SignRequest, client: Client) -> Decision:
    """Decide one request for the key `pkh`: what `admitted` asks, chain, client, kind, operations, limits.

    A generic request without operations is allowed wherever generic requests are. The rate and the level step
    are not asked: they need counters and marks, see `counters`.
    """
    found = chain(admission(policy, pkh, client), judgement(policy, pkh, request, client))
    return decided(found, allowing(request))


def outcomes(
    policy: Policy, pkh: str, request: SignRequest, client: Client, *, marked_level: int | None = None
) -> tuple[Outcome, ...]:
    """What every rule says, in the order in which they decide: the first refusal is what `evaluate` answers.

    The rate is never judged here, the level step only where the level of the slot's mark is given.
    """
    return (
        *admission(policy, pkh, client),
        *judgement(policy, pkh, request, client),
        *afterwards(policy, pkh, request, marked_level),
    )


def decided(found: Iterable[Outcome], otherwise: Decision) -> Decision:
    """The answer of rules in their order: the first refusal, else `otherwise`."""
    for outcome in found:
        if outcome.verdict is Verdict.REFUSED:
            return Decision(
                allowed=False, rule=outcome.rule, message=outcome.text, violation=outcome.violation
            )
    return otherwise


def allowing(request: SignRequest) -> Decision:
    """The answer when no rule refuses this request."""
    return _ALLOWED_OPERATIONS if request.operations else _ALLOWED


def admission(policy: Policy, pkh: str, client: Client) -> Iterator[Outcome]:
    """The rules that need no request."""
    yield _known_client(policy, client)
    yield _known_user(policy, client)
    yield _listed(policy, pkh)
    yield _jwt_users(policy, pkh, client)


def judgement(policy: Policy, pkh: str, request: SignRequest, client: Client) -> Iterator[Outcome]:
    """The rules about the request; none of them can be judged for a key that is not listed."""
    key = policy.keys.get(pkh)
    for name, rule in _RULES:
        yield Outcome(name, Verdict.UNJUDGED) if key is None else rule(key, request, client)


def afterwards(
    policy: Policy, pkh: str, request: SignRequest, marked_level: int | None = None
) -> Iterator[Outcome]:
    """The rules that need what was signed before."""
    key = policy.keys.get(pkh)
    if key is None:
        yield Outcome(RATE, Verdict.UNJUDGED)
        yield Outcome(LEVEL_STEP, Verdict.UNJUDGED)
        return
    yield Outcome(RATE, Verdict.UNSET if key.limits.rate is None else Verdict.UNJUDGED)
    if key.limits.max_level_step is not None and marked_level is None and request.level is not None:
        yield Outcome(LEVEL_STEP, Verdict.UNJUDGED)
    else:
        yield level_step(key.limits, marked_level, request.level)


def _known_client(policy: Policy, client: Client) -> Outcome:
    if policy.client_ids is None:
        return _NO_CLIENTS
    if client.key_hash in policy.client_ids:
        return _KNOWN_CLIENT
    return _refused("server.authorized_keys", _stranger(client), AUTHENTICATION)


def _known_user(policy: Policy, client: Client) -> Outcome:
    if policy.users is None:
        return _NO_USERS
    if client.user is None:
        return _refused("server.jwt", "authentication required", AUTHENTICATION)
    if client.user not in policy.users:
        return _refused("server.jwt", f"user `{client.user}' is not known", AUTHENTICATION)
    return _KNOWN_USER


def _listed(policy: Policy, pkh: str) -> Outcome:
    return _LISTED if pkh in policy.keys else _refused(LISTED, f"{pkh} is not listed in config")


def _jwt_users(policy: Policy, pkh: str, client: Client) -> Outcome:
    key = policy.keys.get(pkh)
    if key is None:
        return Outcome("jwt_users", Verdict.UNJUDGED)
    if key.jwt_users is None or policy.users is None:
        return _ANY_USER
    if client.user in key.jwt_users:
        return _THIS_USER
    return _refused("jwt_users", f"user `{client.user or ''}' is not authorized to access {pkh}")


def _allowed_chains(key: KeyPolicy, request: SignRequest, _: Client) -> Outcome:
    if key.allowed_chains is None:
        return _ANY_CHAIN
    if request.chain_id is None or request.chain_id in key.allowed_chains:
        return _THIS_CHAIN
    return _refused("allowed_chains", f"chain `{request.chain_id}' is not allowed")


def _authorized_keys(key: KeyPolicy, _: SignRequest, client: Client) -> Outcome:
    if key.authorized_keys is None:
        return _ANY_CLIENT
    if client.key_hash in key.authorized_keys:
        return _THIS_CLIENT
    return _refused("authorized_keys", _stranger(client), AUTHENTICATION)


def _allow(key: KeyPolicy, request: SignRequest, _: Client) -> Outcome:
    if request.kind in key.requests:
        return _THIS_KIND
    return _refused("allow", f"request kind `{request.kind}' is not allowed", request.kind)


def _allow_generic(key: KeyPolicy, request: SignRequest, _: Client) -> Outcome:
    for operation in request.operations:
        if operation not in key.operations and not (operation in BALLOTS and "ballot" in key.operations):
            return _refused("allow.generic", f"operation `{operation}' is not allowed", operation)
    return _THESE_OPERATIONS


def _stranger(client: Client) -> str:
    if client.key_hash is None:
        return "authentication required"
    return f"client `{client.key_hash}' is not allowed"


def _refused(rule: str, text: str, violation: str = "") -> Outcome:
    return Outcome(rule, Verdict.REFUSED, text, violation)


# What does not depend on the request is made once: these rules stand on the way of every signature.
_ADMITTED = Decision(allowed=True, rule=LISTED)
_ALLOWED = Decision(allowed=True, rule="allow")
_ALLOWED_OPERATIONS = Decision(allowed=True, rule="allow.generic")
_NO_CLIENTS = Outcome("server.authorized_keys", Verdict.UNSET)
_KNOWN_CLIENT = Outcome("server.authorized_keys", Verdict.PASSED)
_NO_USERS = Outcome("server.jwt", Verdict.UNSET)
_KNOWN_USER = Outcome("server.jwt", Verdict.PASSED)
_LISTED = Outcome(LISTED, Verdict.PASSED)
_ANY_USER = Outcome("jwt_users", Verdict.UNSET)
_THIS_USER = Outcome("jwt_users", Verdict.PASSED)
_ANY_CHAIN = Outcome("allowed_chains", Verdict.UNSET)
_THIS_CHAIN = Outcome("allowed_chains", Verdict.PASSED)
_ANY_CLIENT = Outcome("authorized_keys", Verdict.UNSET)
_THIS_CLIENT = Outcome("authorized_keys", Verdict.PASSED)
_THIS_KIND = Outcome("allow", Verdict.PASSED)
_THESE_OPERATIONS = Outcome("allow.generic", Verdict.PASSED)

_RULES: tuple[tuple[str, Callable[[KeyPolicy, SignRequest, Client], Outcome]], ...] = (
    ("allowed_chains", _allowed_chains),
    ("authorized_keys", _authorized_keys),
    ("allow", _allow),
    ("allow.generic", _allow_generic),
    (limits.MAX_AMOUNT, limits.max_amount),
    (limits.MAX_FEE, limits.max_fee),
    (limits.DESTINATIONS, limits.destinations),
)
