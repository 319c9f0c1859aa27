"""Who may have what signed, in which order it is checked, and what a refusal says."""

from itertools import product

import pytest

from signatory.policy.kinds import OPERATION_ALIASES, OPERATION_KINDS, REQUEST_ALIASES, REQUEST_KINDS
from signatory.policy.rules import evaluate, listed
from signatory.policy.values import DEFAULT_KEY_POLICY, Client, Decision, KeyPolicy, Policy
from signatory.tezos.requests import SignRequest

KEY = "tz1RKGhRF4TZNCXEfwyqZshGsVfrZeVU446B"
CLIENT = "tz1aSkwEot3L2kmUvcoxzjMomb9mvBNuzFK6"
MAINNET = "NetXdQprcVkpaWU"
GHOSTNET = "NetXnHfVqm9iesp"

NOBODY = Client("192.0.2.1")
KNOWN = Client("192.0.2.1", CLIENT)

BLOCK = SignRequest("block", (), MAINNET, 7, 0)
ALLOWED = Decision(allowed=True, rule="allow")
ALLOWED_OPERATIONS = Decision(allowed=True, rule="allow.generic")


def decide(key: KeyPolicy, request: SignRequest, client: Client = NOBODY) -> Decision:
    return evaluate(Policy({KEY: key}), KEY, request, client)


def generic(*operations: str) -> SignRequest:
    return SignRequest("generic", operations)


def refused(rule: str, message: str, violation: str = "") -> Decision:
    return Decision(allowed=False, rule=rule, message=message, violation=violation)


def test_a_key_that_is_not_listed_signs_nothing() -> None:
    expected = refused("tezos", f"{KEY} is not listed in config")
    assert listed(Policy({}), KEY) == expected
    assert evaluate(Policy({}), KEY, BLOCK, NOBODY) == expected
    assert listed(Policy({KEY: KeyPolicy()}), KEY).allowed


@pytest.mark.parametrize("kind", REQUEST_KINDS)
def test_a_key_listed_without_settings_signs_consensus_only(kind: str) -> None:
    decision = decide(DEFAULT_KEY_POLICY, SignRequest(kind, (), MAINNET, 1, 0))
    if kind in {"block", "preattestation", "attestation"}:
        assert decision == ALLOWED
    else:
        assert decision == refused("allow", f"request kind `{kind}' is not allowed", kind)


@pytest.mark.parametrize(("kind", "allowed"), [*product(REQUEST_KINDS, repeat=2)])
def test_each_request_kind_is_allowed_by_its_own_name_alone(kind: str, allowed: str) -> None:
    decision = decide(KeyPolicy(requests=frozenset({allowed})), SignRequest(kind))
    assert decision.allowed == (kind == allowed)
    assert decision.violation == ("" if kind == allowed else kind)


def test_an_empty_policy_allows_nothing() -> None:
    assert not any(decide(KeyPolicy(), SignRequest(kind)).allowed for kind in REQUEST_KINDS)


def test_every_operation_of_a_batch_is_allowed_or_none_is_signed() -> None:
    key = KeyPolicy(requests=frozenset({"generic"}), operations=frozenset({"transaction", "reveal"}))
    assert decide(key, generic("reveal", "transaction", "transaction")) == ALLOWED_OPERATIONS
    text = "operation `delegation' is not allowed"
    assert decide(key, generic("reveal", "transaction", "delegation")) == refused(
        "allow.generic", text, "delegation"
    )
    assert decide(key, generic("delegation", "origination")) == refused("allow.generic", text, "delegation")


def test_operations_need_the_generic_kind_too() -> None:
    key = KeyPolicy(requests=frozenset({"block"}), operations=frozenset({"transaction"}))
    expected = refused("allow", "request kind `generic' is not allowed", "generic")
    assert decide(key, generic("transaction")) == expected


def test_a_batch_without_operations_needs_the_generic_kind_only() -> None:
    assert decide(KeyPolicy(requests=frozenset({"generic"})), generic()) == ALLOWED
    assert not decide(KeyPolicy(requests=frozenset({"block"})), generic()).allowed


@pytest.mark.parametrize(("operation", "allowed"), [*product(("transaction", "stake", "unstake"), repeat=2)])
def test_staking_and_transactions_do_not_cover_each_other(operation: str, allowed: str) -> None:
    key = KeyPolicy(requests=frozenset({"generic"}), operations=frozenset({allowed}))
    assert decide(key, generic(operation)).allowed == (operation == allowed)


@pytest.mark.parametrize("vote", ["yay", "nay", "pass"])
def test_ballot_allows_every_vote_and_a_vote_only_itself(vote: str) -> None:
    def with_operations(*names: str) -> KeyPolicy:
        return KeyPolicy(requests=frozenset({"generic"}), operations=frozenset(names))

    assert decide(with_operations("ballot"), generic(f"ballot:{vote}")).allowed
    for other in ("yay", "nay", "pass"):
        decision = decide(with_operations(f"ballot:{other}"), generic(f"ballot:{vote}"))
        assert decision.allowed == (other == vote)
    text = f"operation `ballot:{vote}' is not allowed"
    expected = refused("allow.generic", text, f"ballot:{vote}")
    assert decide(with_operations("transaction"), generic(f"ballot:{vote}")) == expected


@pytest.mark.parametrize(
    ("chains", "chain", "allowed"),
    [
        (None, MAINNET, True),
        (None, None, True),
        (frozenset({MAINNET}), MAINNET, True),
        (frozenset({MAINNET}), GHOSTNET, False),
        (frozenset({MAINNET, GHOSTNET}), GHOSTNET, True),
        (frozenset({MAINNET}), None, True),
        (frozenset(), MAINNET, False),
        (frozenset(), None, True),
    ],
)
def test_the_list_of_chains_binds_requests_that_name_one(
    chains: frozenset[str] | None, chain: str | None, *, allowed: bool
) -> None:
    kind = "block" if chain else "generic"
    key = KeyPolicy(requests=frozenset({"block", "generic"}), allowed_chains=chains)
    decision = decide(key, SignRequest(kind, (), chain))
    expected = ALLOWED if allowed else refused("allowed_chains", f"chain `{chain}' is not allowed")
    assert decision == expected


@pytest.mark.parametrize(
    ("keys", "client", "message"),
    [
        (None, NOBODY, ""),
        (None, KNOWN, ""),
        (frozenset({CLIENT}), KNOWN, ""),
        (frozenset({CLIENT}), NOBODY, "authentication required"),
        (frozenset({KEY}), KNOWN, f"client `{CLIENT}' is not allowed"),
        (frozenset(), KNOWN, f"client `{CLIENT}' is not allowed"),
        (frozenset(), NOBODY, "authentication required"),
    ],
)
def test_the_list_of_clients_lets_in_who_stands_there(
    keys: frozenset[str] | None, client: Client, message: str
) -> None:
    decision = decide(KeyPolicy(requests=frozenset({"block"}), authorized_keys=keys), BLOCK, client)
    expected = refused("authorized_keys", message, "authentication") if message else ALLOWED
    assert decision == expected


def test_the_checks_come_in_the_documented_order() -> None:
    """Chain, client, request kind, operation: each refusal hides those behind it."""
    request = SignRequest("generic", ("stake",), GHOSTNET)
    chains, clients = frozenset({MAINNET}), frozenset({CLIENT})
    steps = [
        (KeyPolicy(allowed_chains=chains, authorized_keys=clients), "allowed_chains"),
        (KeyPolicy(authorized_keys=clients), "authorized_keys"),
        (KeyPolicy(), "allow"),
        (KeyPolicy(requests=frozenset({"generic"})), "allow.generic"),
    ]
    assert [decide(key, request).rule for key, _ in steps] == [rule for _, rule in steps]


def test_the_names_are_sorted_and_as_many_as_the_protocol_has() -> None:
    for names, count in ((REQUEST_KINDS, 6), (OPERATION_KINDS, 39)):
        assert list(names) == sorted(set(names))
        assert len(names) == count


def test_old_names_mean_attestations() -> None:
    assert REQUEST_ALIASES == {"endorsement": "attestation", "preendorsement": "preattestation"}
    assert set(REQUEST_ALIASES.values()) <= set(REQUEST_KINDS)
    assert {"endorsement", "preendorsement", "double_endorsement_evidence"} <= set(OPERATION_ALIASES)
    assert not set(OPERATION_ALIASES) & set(OPERATION_KINDS)
