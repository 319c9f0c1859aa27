"""What the engine cannot tell counts for nobody, whichever way the question is put."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keypolicy_samples import ACCOUNT, ADMIN, IMAGE, KEY, ROLE, ROOT, SESSION, ask, made, one

from signatory.nitro import keypolicy
from signatory.nitro.keypolicy import Reading

GATEWAY = f"arn:aws:sts::{ACCOUNT}:assumed-role/gateway/x"
UNKNOWN = [
    {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}},
    {"Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1"}}},
    {"Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}},
    {"Condition": {"Null": {"aws:SourceVpce": "true"}}},
    {"Condition": {"StringEquals": {"kms:ViaService": "s3.us-west-2.amazonaws.com"}}},
    {"Condition": {"StringEquals": {"kms:RecipientAttestation:NitroTPMPCR7": "00"}}},
    {"Condition": {"StringEquals": {"kms:RecipientAttestation:PCR00": "a0" * 48}}},
    {"Condition": {"StringEquals": {"kms:EncryptionContext:user_id": "${aws:username}"}}},
    {"Condition": {"StringLike": {}}},
    {"Principal": {"AWS": "AROAEXAMPLEOFADELETEDROLE"}},
    {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/*"}},
    {"Resource": "arn:aws:kms:*:${aws:PrincipalAccount}:key/*"},
]


@pytest.mark.parametrize("elements", UNKNOWN)
def test_doubt_refuses_or_allows_as_the_reading_says(elements: dict[str, Any]) -> None:
    allow, deny = one("Allow", **elements), one("Deny", **elements)
    deny["Statement"] = [deny["Statement"], one("Allow")["Statement"]]
    for policy in (allow, deny):
        assert not ask(policy, "kms:Decrypt", IMAGE, context={"user_id": "u"}).allowed
        widest = ask(policy, "kms:Decrypt", IMAGE, context={"user_id": "u"}, reading=Reading.DOUBT_ALLOWS)
        assert widest.allowed


def test_a_statement_that_surely_speaks_of_something_else_leaves_no_doubt() -> None:
    condition = {"IpAddress": {"aws:SourceIp": "::/0"}, "Null": {"kms:EncryptionContextKeys": "true"}}
    for elements in ({"Condition": condition}, {"Action": "kms:Encrypt", **UNKNOWN[0]}):
        policy = one("Allow", **elements)
        for reading in Reading:
            assert not ask(policy, "kms:Decrypt", context={"a": "b"}, reading=reading).allowed


def test_an_allow_to_the_account_opens_to_whom_its_iam_policies_let_in() -> None:
    policy = one("Allow", Principal={"AWS": ROOT}, Action="kms:*")
    for principal in (ROLE, SESSION, GATEWAY, ADMIN):
        assert not ask(policy, "kms:Decrypt", None, principal).allowed
        assert ask(policy, "kms:Decrypt", None, principal, reading=Reading.DOUBT_ALLOWS).allowed
    stranger = "arn:aws:iam::999999999999:role/x"
    assert not ask(policy, "kms:Decrypt", None, stranger, reading=Reading.DOUBT_ALLOWS).allowed


def test_a_deny_to_the_account_leaves_no_doubt() -> None:
    statements = [one("Allow")["Statement"], one("Deny", Principal={"AWS": ROOT})["Statement"]]
    for reading in Reading:
        assert ask({"Statement": statements}, "kms:Decrypt", None, GATEWAY, reading=reading).explicit_deny


def test_a_policy_that_names_its_key_is_in_doubt_while_the_key_is_not_known() -> None:
    policy = one("Allow", Resource=KEY)
    assert ask(policy, "kms:Decrypt").allowed
    assert not ask(policy, "kms:Decrypt", resource=None).allowed
    assert ask(policy, "kms:Decrypt", resource=None, reading=Reading.DOUBT_ALLOWS).allowed
    deny = {"Statement": [one("Allow")["Statement"], one("Deny", Resource=KEY)["Statement"]]}
    assert not ask(deny, "kms:Decrypt", resource=None).allowed


def test_a_key_that_the_caller_may_not_have_told_is_in_doubt() -> None:
    condition = {"StringEquals": {"kms:RecipientAttestation:PCR3": "03" * 48}}
    policy, hidden = one("Allow", Condition=condition), ["kms:RecipientAttestation:PCR3"]
    assert not ask(policy, "kms:Decrypt", IMAGE, reading=Reading.DOUBT_ALLOWS).allowed
    assert ask(policy, "kms:Decrypt", IMAGE, reading=Reading.DOUBT_ALLOWS, untold=hidden).allowed
    assert not ask(policy, "kms:Decrypt", IMAGE, untold=hidden).allowed


def test_who_calls_is_known_as_far_as_the_arn_tells() -> None:
    account = one("Allow", Condition={"StringEquals": {"kms:CallerAccount": ACCOUNT}})
    assert ask(account, "kms:Decrypt", None, SESSION).allowed
    assert not ask(account, "kms:Decrypt", None, "arn:aws:iam::999999999999:role/x").allowed
    role = one("Allow", Condition={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/enclave"}})
    assert ask(role, "kms:Decrypt", None, ROLE).allowed
    assert not ask(role, "kms:Decrypt", None, SESSION).allowed


def test_a_service_is_nobody_who_calls() -> None:
    policy = one("Allow", Principal={"Service": "lambda.amazonaws.com", "Federated": "accounts.google.com"})
    for reading in Reading:
        assert not ask(policy, "kms:Decrypt", reading=reading).allowed


_conditions = st.sampled_from(
    [
        {},
        {"Null": {"kms:RecipientAttestation:PCR0": "true"}},
        {"Null": {"kms:EncryptionContextKeys": "false"}},
        {"StringEquals": {"kms:EncryptionContext:key_id": ["a", "b"]}},
        {"StringNotEquals": {"kms:EncryptionContext:key_id": "a"}},
        {"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": "key_id"}},
        {"ForAnyValue:StringLike": {"kms:EncryptionContextKeys": "*_id"}},
        {"StringEquals": {"aws:SourceIp": "::1"}},
        {"Bool": {"aws:SecureTransport": "false"}},
        {"Unheard": {"of": "this"}},
    ]
)
_statements = st.builds(
    lambda effect, principal, action, condition: {
        "Effect": effect,
        "Principal": {"AWS": principal},
        "Action": action,
        "Resource": "*",
        "Condition": condition,
    },
    st.sampled_from(["Allow", "Deny"]),
    st.sampled_from(["*", ROLE, ROOT, ADMIN, SESSION, "AROAX"]),
    st.sampled_from(["kms:*", "kms:Decrypt", "kms:De*", "kms:Encrypt"]),
    _conditions,
)
_policies = st.lists(_statements, max_size=5)
_calls = st.tuples(
    st.sampled_from(["kms:Decrypt", "kms:Encrypt"]),
    st.sampled_from([None, IMAGE]),
    st.sampled_from([ROLE, SESSION, GATEWAY, ROOT]),
    st.sampled_from([{}, {"key_id": "a"}, {"key_id": "c", "user_id": "u"}]),
)


@given(statements=_policies, more=_statements, call=_calls, reading=st.sampled_from(list(Reading)))
def test_a_deny_more_never_allows_more_and_an_allow_more_never_less(
    statements: list[dict[str, Any]], more: dict[str, Any], call: Any, reading: Reading
) -> None:
    before = ask({"Statement": statements}, *call, reading=reading).allowed
    after = ask({"Statement": [*statements, more]}, *call, reading=reading).allowed
    if more["Effect"] == "Deny":
        assert before or not after
    else:
        assert after or not before


@given(statements=_policies, call=_calls, order=st.randoms())
def test_the_order_of_statements_makes_no_difference(
    statements: list[dict[str, Any]], call: Any, order: Any
) -> None:
    shuffled = list(statements)
    order.shuffle(shuffled)
    for reading in Reading:
        first = ask({"Statement": statements}, *call, reading=reading)
        second = ask({"Statement": shuffled}, *call, reading=reading)
        assert (first.allowed, first.explicit_deny) == (second.allowed, second.explicit_deny)


@given(statements=_policies, call=_calls)
def test_what_is_allowed_where_doubt_refuses_is_allowed_where_doubt_allows(
    statements: list[dict[str, Any]], call: Any
) -> None:
    policy = {"Statement": statements}
    assert not ask(policy, *call).allowed or ask(policy, *call, reading=Reading.DOUBT_ALLOWS).allowed


@given(statements=_policies, call=_calls)
def test_the_deny_without_recipient_holds_whatever_stands_beside_it(
    statements: list[dict[str, Any]], call: Any
) -> None:
    deny = next(each for each in made()["Statement"] if each["Sid"] == "DenyWithoutRecipient")
    _, _, principal, context = call
    for reading in Reading:
        verdict = keypolicy.evaluate(
            {"Statement": [*statements, deny]},
            "kms:Decrypt",
            principal,
            keypolicy.context_of(None, context),
            reading=reading,
        )
        assert verdict.explicit_deny
