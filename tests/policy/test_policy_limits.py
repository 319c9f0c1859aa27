"""What a request may move, pay and reach, summed over all that is in it."""

import pytest
from hypothesis import given
from hypothesis.strategies import booleans, builds, integers, lists, none, sampled_from
from policy_samples import (
    DRAIN,
    KEY,
    KT1,
    KT1_TEXT,
    MAINNET,
    TZ2_TEXT,
    Operation,
    batch,
    delegation,
    generic,
    limited,
    origination,
    transaction,
)

from signatory.policy.rules import evaluate
from signatory.policy.values import Client, Decision, KeyPolicy, Policy
from signatory.tezos import requests
from signatory.tezos.requests import SignRequest

NOBODY = Client("192.0.2.1")
ALLOWED = Decision(allowed=True, rule="allow.generic")
FAR = 10**5000  # longer than Python turns into text


def decide(key: KeyPolicy, request: SignRequest) -> Decision:
    return evaluate(Policy({KEY: key}), KEY, request, NOBODY)


def refused(rule: str, message: str) -> Decision:
    return Decision(allowed=False, rule=f"limits.{rule}", message=message, violation=rule)


def test_amounts_of_all_operations_together_are_held_against_the_limit() -> None:
    key = limited(max_amount=100)
    assert decide(key, batch(Operation(amount=60), Operation("reveal"), Operation(amount=40))) == ALLOWED
    assert decide(key, batch(Operation(amount=60), Operation(amount=41))) == refused(
        "max_amount", "the operations move 101 mutez, the limit is 100 mutez"
    )


def test_fees_of_all_operations_together_are_held_against_the_limit() -> None:
    key = limited(max_fee=100)
    assert decide(key, batch(Operation("reveal", fee=60), Operation(fee=40, amount=10**9))) == ALLOWED
    assert decide(key, batch(Operation("reveal", fee=60), Operation(fee=41))) == refused(
        "max_fee", "the operations pay 101 mutez of fees, the limit is 100 mutez"
    )


@pytest.mark.parametrize("rule", ["max_amount", "max_fee"])
def test_a_limit_of_nothing_lets_nothing_pass(rule: str) -> None:
    name = rule.removeprefix("max_")
    key = limited(**{rule: 0})
    assert decide(key, batch(Operation(**{name: 0}), Operation("reveal"))) == ALLOWED
    assert not decide(key, batch(Operation(**{name: 1}))).allowed


@pytest.mark.parametrize("rule", ["max_amount", "max_fee"])
@pytest.mark.parametrize("number", [2**63, FAR], ids=["just", "far"])
def test_numbers_beyond_any_amount_are_refused_and_not_printed(rule: str, number: int) -> None:
    operation = Operation(**{rule.removeprefix("max_"): number})
    decision = decide(limited(**{rule: 2**63 - 1}), batch(operation))
    assert decision.rule == f"limits.{rule}"
    assert "2^63 mutez or more, the limit is 9223372036854775807 mutez" in decision.message.replace(
        " of fees", ""
    )


def test_many_small_operations_are_as_much_as_one_large() -> None:
    for count, allowed in ((1000, True), (1001, False)):
        request = batch(*[Operation(amount=1, fee=1)] * count)
        assert decide(limited(max_amount=1000), request).allowed == allowed
        assert decide(limited(max_fee=1000), request).allowed == allowed


def test_sums_do_not_wrap_at_any_width() -> None:
    for width in (31, 32, 63, 64):
        request = batch(*[Operation(amount=2**width, fee=2**width)] * 4)
        assert not decide(limited(max_amount=10), request).allowed
        assert not decide(limited(max_fee=10), request).allowed


def test_no_operation_pays_for_another() -> None:
    request = batch(Operation(amount=101, fee=101), Operation(amount=-50, fee=-50))
    assert not decide(limited(max_amount=100), request).allowed
    assert not decide(limited(max_fee=100), request).allowed


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_amount_that_is_not_in_the_bytes_is_refused_wherever_it_stands(place: int) -> None:
    operations = [Operation(amount=1), Operation(amount=0)]
    operations.insert(place, Operation("drain_delegate", amount_unknown=True, destinations=(TZ2_TEXT,)))
    assert decide(limited(max_amount=2**63 - 1), batch(*operations)) == refused(
        "max_amount", "operation `drain_delegate' moves an amount that cannot be read"
    )
    assert decide(limited(max_fee=0), batch(*operations)) == ALLOWED


def test_every_destination_must_be_listed() -> None:
    key = limited(destinations=frozenset({KT1_TEXT}))
    to = Operation(amount=1, destinations=(KT1_TEXT,))
    assert decide(key, batch(to, Operation("reveal"), to)) == ALLOWED
    for last in (
        Operation(amount=0, destinations=(TZ2_TEXT,)),
        Operation("delegation", destinations=(TZ2_TEXT,)),
        Operation(amount=1, destinations=(KT1_TEXT, TZ2_TEXT)),
    ):
        assert decide(key, batch(to, last)) == refused(
            "destinations", f"destination `{TZ2_TEXT}' is not allowed"
        )


def test_an_empty_list_of_destinations_allows_none() -> None:
    key = limited(destinations=frozenset())
    assert decide(key, batch(Operation("reveal"))) == ALLOWED
    assert not decide(key, batch(Operation(destinations=(KT1_TEXT,)))).allowed


@pytest.mark.parametrize(
    "operation", [{"amount": 1}, {"amount": FAR}, {"amount_unknown": True}], ids=["one", "far", "unknown"]
)
def test_money_that_goes_nobody_knows_where_is_refused(operation: dict[str, int]) -> None:
    key = limited(destinations=frozenset({KT1_TEXT}))
    assert decide(key, batch(Operation("origination", **operation))) == refused(
        "destinations", "operation `origination' moves money to a destination that cannot be read"
    )
    assert decide(key, batch(Operation("origination", amount=0))) == ALLOWED


def test_a_listed_delegate_is_not_who_gets_the_balance_of_a_new_contract() -> None:
    key = limited(destinations=frozenset({TZ2_TEXT}))
    request = requests.parse(generic(origination(balance=1)))
    assert request.contents[0].destinations == (TZ2_TEXT,)
    assert decide(key, request).message.startswith("operation `origination' moves money to")
    assert decide(key, requests.parse(generic(origination(balance=0)))) == ALLOWED


def test_a_batch_that_was_named_but_not_read_is_no_empty_batch() -> None:
    request = SignRequest("generic", ("transaction",))
    for limits in ({"max_amount": 1}, {"max_fee": 1}, {"destinations": frozenset({KT1_TEXT})}):
        (rule,) = limits
        assert decide(limited(**limits), request) == refused(
            rule, "the operations of this request were not read"
        )
    assert decide(limited(), request) == ALLOWED


@pytest.mark.parametrize("request_", [SignRequest("block", (), MAINNET, 1, 0), SignRequest("pack"), batch()])
def test_what_has_no_operations_passes_every_limit(request_: SignRequest) -> None:
    key = limited(max_amount=0, max_fee=0, destinations=frozenset())
    assert decide(key, request_).allowed


def test_what_policy_forbids_is_told_before_any_limit() -> None:
    key = KeyPolicy(requests=frozenset({"generic"}), limits=limited(max_amount=0).limits)
    assert decide(key, batch(Operation(amount=5))).rule == "allow.generic"


amounts = none() | integers(0, 60)
operations = builds(
    Operation,
    kind=sampled_from(["transaction", "reveal", "delegation"]),
    fee=amounts,
    amount=amounts,
    amount_unknown=booleans(),
    destinations=lists(sampled_from([KT1_TEXT, TZ2_TEXT]), max_size=2).map(tuple),
)


@given(parts=lists(operations, max_size=6), limit=integers(0, 120))
def test_a_limit_lets_pass_exactly_what_adds_up_below_it(parts: list[Operation], limit: int) -> None:
    amount = sum(part.amount or 0 for part in parts)
    fee = sum(part.fee or 0 for part in parts)
    unknown = any(part.amount_unknown for part in parts)
    assert decide(limited(max_amount=limit), batch(*parts)).allowed == (amount <= limit and not unknown)
    assert decide(limited(max_fee=limit), batch(*parts)).allowed == (fee <= limit)


@given(parts=lists(operations, min_size=1, max_size=5), more=operations, limit=integers(0, 120))
def test_adding_an_operation_never_makes_a_refused_batch_pass(
    parts: list[Operation], more: Operation, limit: int
) -> None:
    key = limited(max_amount=limit, max_fee=limit, destinations=frozenset({KT1_TEXT}))
    if not decide(key, batch(*parts)).allowed:
        assert not decide(key, batch(*parts, more)).allowed
        assert not decide(key, batch(more, *parts)).allowed


def test_limits_hold_for_the_bytes_that_are_signed() -> None:
    def judged(message: bytes, **limits: object) -> Decision:
        return decide(limited(**limits), requests.parse(message))

    pair = generic(transaction(600_000, 300), transaction(400_001, 300))
    assert judged(pair, max_amount=1_000_001, max_fee=600, destinations=frozenset({KT1_TEXT})) == ALLOWED
    assert judged(pair, max_amount=1_000_000) == refused(
        "max_amount", "the operations move 1000001 mutez, the limit is 1000000 mutez"
    )
    assert judged(pair, max_fee=599).rule == "limits.max_fee"
    assert judged(pair, destinations=frozenset({TZ2_TEXT})) == refused(
        "destinations", f"destination `{KT1_TEXT}' is not allowed"
    )
    assert judged(generic(delegation()), destinations=frozenset({KT1_TEXT})).rule == "limits.destinations"
    assert judged(generic(delegation()), destinations=frozenset({TZ2_TEXT}), max_amount=0) == ALLOWED
    assert judged(generic(transaction(1, to=KT1), DRAIN), max_amount=10**9).rule == "limits.max_amount"
