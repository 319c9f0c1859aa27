"""Every rule's verdict, its text, and that the first refusal is the decision."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis.strategies import builds, frozensets, integers, lists, none, sampled_from
from policy_samples import CLIENT, KEY, KT1_TEXT, MAINNET, TZ2_TEXT, Operation, batch

from signatory.jwt import Credentials, User
from signatory.policy.rules import admitted, evaluate, listed, outcomes
from signatory.policy.values import Client, Decision, KeyLimits, KeyPolicy, Outcome, Policy, Verdict
from signatory.tezos.keys import PublicKey
from signatory.tezos.requests import SignRequest

EDPK = "edpkujLb5ZCZ2gprnRzE9aVHKZfx9A8EtWu2xxkwYSjBUJbesJ9rWE"
KNOWN = PublicKey.parse(EDPK)
OTHER = replace(KNOWN, data=bytes(32))
ALICE = User("alice", Credentials("p", "s"))
BOB = User("bob", Credentials("p", "s"))
BLOCK = SignRequest("block", (), MAINNET, 7, 0)
ALL = KeyPolicy(requests=frozenset({"block", "generic"}))
RULES = (
    "server.authorized_keys",
    "server.jwt",
    "tezos",
    "jwt_users",
    "allowed_chains",
    "authorized_keys",
    "allow",
    "allow.generic",
    "limits.max_amount",
    "limits.max_fee",
    "limits.destinations",
    "limits.rate",
    "limits.max_level_step",
)


def refused(rule: str, message: str, violation: str = "") -> Decision:
    return Decision(allowed=False, rule=rule, message=message, violation=violation)


def verdicts(found: tuple[Outcome, ...]) -> dict[str, Verdict]:
    return {outcome.rule: outcome.verdict for outcome in found}


@pytest.mark.parametrize(
    ("key_hash", "message"),
    [
        (KNOWN.id, ""),
        (None, "authentication required"),
        (OTHER.id, f"client `{OTHER.id}' is not allowed"),
        (CLIENT, f"client `{CLIENT}' is not allowed"),
    ],
)
def test_a_client_whose_key_was_removed_meanwhile_is_refused_before_anything_else(
    key_hash: str | None, message: str
) -> None:
    client = Client("192.0.2.1", key_hash)
    policy = Policy({KEY: replace(ALL, authorized_keys=frozenset())}, clients=(KNOWN,))
    expected = refused("server.authorized_keys", message, "authentication")
    if message:
        assert admitted(policy, KEY, client) == expected
        assert admitted(policy, TZ2_TEXT, client) == expected
        assert evaluate(policy, KEY, BLOCK, client) == expected
    else:
        assert admitted(policy, KEY, client) == Decision(allowed=True, rule="tezos")
        assert evaluate(policy, KEY, BLOCK, client).rule == "authorized_keys"


def test_with_no_client_left_nobody_is_let_in() -> None:
    policy = Policy({KEY: ALL}, clients=())
    assert not admitted(policy, KEY, Client("::1", KNOWN.id)).allowed
    assert not admitted(policy, KEY, Client("::1")).allowed


@pytest.mark.parametrize(
    ("user", "allowed", "message"),
    [
        ("alice", None, ""),
        ("alice", {"alice"}, ""),
        ("alice", {"bob"}, f"user `alice' is not authorized to access {KEY}"),
        ("alice", set(), f"user `alice' is not authorized to access {KEY}"),
        ("carol", {"carol"}, "user `carol' is not known"),
        (None, {"alice"}, "authentication required"),
        (None, None, "authentication required"),
    ],
)
def test_a_user_must_be_known_and_one_of_the_key(
    user: str | None, allowed: set[str] | None, message: str
) -> None:
    names = None if allowed is None else frozenset(allowed)
    policy = Policy({KEY: replace(ALL, jwt_users=names)}, users={"alice": ALICE, "bob": BOB})
    client = Client("192.0.2.1", user=user)
    decision = admitted(policy, KEY, client)
    assert (decision.allowed, decision.message) == (not message, message)
    assert evaluate(policy, KEY, BLOCK, client).allowed == (not message)


def test_users_of_a_key_mean_nothing_where_nobody_logs_in() -> None:
    policy = Policy({KEY: replace(ALL, jwt_users=frozenset())})
    assert admitted(policy, KEY, Client("192.0.2.1")).allowed
    assert verdicts(outcomes(policy, KEY, BLOCK, Client("192.0.2.1")))["jwt_users"] is Verdict.UNSET


def test_a_key_that_is_not_listed_is_refused_before_its_users() -> None:
    policy = Policy({}, users={"alice": ALICE})
    expected = refused("tezos", f"{KEY} is not listed in config")
    assert admitted(policy, KEY, Client("::1", user="alice")) == expected
    assert listed(policy, KEY) == expected


def test_every_rule_is_told_once_in_the_order_in_which_they_decide() -> None:
    for policy in (Policy({}), Policy({KEY: ALL})):
        assert tuple(one.rule for one in outcomes(policy, KEY, BLOCK, Client("::1"))) == RULES


def test_rules_of_a_key_that_is_not_listed_are_not_judged() -> None:
    found = verdicts(outcomes(Policy({}), KEY, BLOCK, Client("::1")))
    assert {rule for rule, verdict in found.items() if verdict is Verdict.UNJUDGED} == {*RULES[3:]}


def test_rules_that_are_not_set_are_told_apart_from_those_that_passed() -> None:
    found = verdicts(outcomes(Policy({KEY: ALL}), KEY, BLOCK, Client("::1")))
    assert {rule for rule, verdict in found.items() if verdict is Verdict.PASSED} == {
        "tezos",
        "allow",
        "allow.generic",
    }
    assert set(found.values()) == {Verdict.PASSED, Verdict.UNSET}


def test_rate_and_level_step_are_judged_only_with_what_they_count() -> None:
    policy = Policy({KEY: replace(ALL, limits=KeyLimits(rate=1, max_level_step=5))})
    late = ("limits.rate", "limits.max_level_step")
    found = verdicts(outcomes(policy, KEY, BLOCK, Client("::1")))
    assert [found[rule] for rule in late] == [Verdict.UNJUDGED, Verdict.UNJUDGED]
    found = verdicts(outcomes(policy, KEY, BLOCK, Client("::1"), marked_level=2))
    assert [found[rule] for rule in late] == [Verdict.UNJUDGED, Verdict.PASSED]
    found = verdicts(outcomes(policy, KEY, BLOCK, Client("::1"), marked_level=1))
    assert [found[rule] for rule in late] == [Verdict.UNJUDGED, Verdict.REFUSED]
    found = verdicts(outcomes(policy, KEY, batch(), Client("::1")))
    assert [found[rule] for rule in late] == [Verdict.UNJUDGED, Verdict.PASSED]


names = sampled_from(["transaction", "delegation", "ballot:yay"])
keys = builds(
    KeyPolicy,
    requests=frozensets(sampled_from(["block", "generic"])),
    operations=frozensets(names | sampled_from(["ballot"])),
    allowed_chains=none() | frozensets(sampled_from([MAINNET, "NetXnHfVqm9iesp"])),
    authorized_keys=none() | frozensets(sampled_from([KNOWN.id, CLIENT])),
    jwt_users=none() | frozensets(sampled_from(["alice", "bob"])),
    limits=builds(
        KeyLimits,
        max_amount=none() | integers(0, 5),
        max_fee=none() | integers(0, 5),
        destinations=none() | frozensets(sampled_from([KT1_TEXT, TZ2_TEXT])),
        rate=none() | integers(1, 5),
        max_level_step=none() | integers(1, 5),
    ),
)
policies = builds(
    Policy,
    keys=none().map(lambda _: {}) | keys.map(lambda key: {KEY: key}),
    clients=none() | sampled_from([(), (KNOWN,), (KNOWN, OTHER)]),
    users=none() | sampled_from([{}, {"alice": ALICE}, {"alice": ALICE, "bob": BOB}]),
)
parts = builds(
    Operation,
    kind=names,
    fee=none() | integers(0, 4),
    amount=none() | integers(0, 4),
    destinations=sampled_from([(), (KT1_TEXT,), (TZ2_TEXT, KT1_TEXT)]),
)
asked = lists(parts, max_size=3).map(lambda found: batch(*found)) | sampled_from([BLOCK, SignRequest("pack")])
clients = builds(
    Client,
    source=sampled_from(["::1"]),
    key_hash=none() | sampled_from([KNOWN.id, OTHER.id, CLIENT]),
    user=none() | sampled_from(["alice", "bob", "carol"]),
)


@given(policy=policies, request=asked, client=clients)
def test_the_decision_is_the_first_refusal_and_admission_its_beginning(
    policy: Policy, request: SignRequest, client: Client
) -> None:
    found = outcomes(policy, KEY, request, client)
    first = next((one for one in found if one.verdict is Verdict.REFUSED), None)
    decision = evaluate(policy, KEY, request, client)
    if first is None:
        assert decision == Decision(allowed=True, rule="allow.generic" if request.operations else "allow")
    else:
        assert decision == refused(first.rule, first.text, first.violation)
    admission = admitted(policy, KEY, client)
    if first is not None and first.rule in RULES[:4]:
        assert admission == decision
    else:
        assert admission.allowed
