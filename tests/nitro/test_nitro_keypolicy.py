"""The engine of key policies decides as IAM is documented to, in the words of AWS."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keypolicy_samples import ACCOUNT, ADMIN, IMAGE, KEY, OTHER, ROLE, ROOT, SESSION, SIGNED, ask, made, one

from signatory.errors import MalformedError
from signatory.nitro import keypolicy
from signatory.nitro.keypolicy_conditions import holds, wild


@pytest.mark.parametrize("principal", [ROLE, SESSION])
@pytest.mark.parametrize("action", ["kms:Decrypt", "kms:GenerateDataKey"])
def test_the_measured_image_is_let_in_under_its_role_and_its_sessions(action: str, principal: str) -> None:
    assert ask(made(), action, IMAGE, principal) == keypolicy.Verdict(
        True, "EnclaveImage1", "allowed by statement EnclaveImage1"
    )


@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_other_register_keeps_an_image_out_in_the_words_of_aws(index: int) -> None:
    verdict = ask(made(), "kms:Decrypt", IMAGE | {index: b"\x01" * 48})
    assert verdict == keypolicy.Verdict(
        False,
        None,
        f"User: {ROLE} is not authorized to perform: kms:Decrypt on resource: {KEY} "
        "because no resource-based policy allows the kms:Decrypt action",
    )


def test_without_a_recipient_it_is_an_explicit_deny_for_everybody() -> None:
    for principal in (ROLE, SESSION, ADMIN, ROOT):
        verdict = ask(made(), "kms:Decrypt", None, principal)
        assert verdict == keypolicy.Verdict(
            False,
            "DenyWithoutRecipient",
            f"User: {principal} is not authorized to perform: kms:Decrypt on resource: {KEY} "
            "with an explicit deny in a resource-based policy",
            True,
        )


def test_a_debug_enclave_meets_no_condition_even_when_the_policy_says_zeros() -> None:
    policy = json.loads(json.dumps(made()).replace("a0" * 48, "00" * 48))
    assert not ask(policy, "kms:Decrypt", IMAGE | {0: bytes(48)}).allowed


@pytest.mark.parametrize(
    "principal",
    [
        f"arn:aws:iam::{ACCOUNT}:role/other",
        "arn:aws:iam::999999999999:role/enclave",
        "arn:aws:sts::999999999999:assumed-role/enclave/i-0123",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/enclave2/i-0123",
        f"arn:aws:iam::{ACCOUNT}:user/enclave",
        ADMIN,
    ],
)
def test_nobody_else_is_let_in_with_the_right_image(principal: str) -> None:
    assert not ask(made(administrators=[ADMIN]), "kms:Decrypt", IMAGE, principal).allowed


def test_two_images_are_let_in_and_no_mixture_of_them() -> None:
    policy = made(images=[IMAGE, OTHER])
    assert ask(policy, "kms:Decrypt", IMAGE).statement_id == "EnclaveImage1"
    assert ask(policy, "kms:Decrypt", OTHER).statement_id == "EnclaveImage2"
    assert not ask(policy, "kms:Decrypt", IMAGE | {1: OTHER[1]}).allowed


def test_a_signed_image_is_held_to_its_signer() -> None:
    policy = made(images=[SIGNED])
    assert ask(policy, "kms:Decrypt", SIGNED).allowed
    for signer in (None, b"\x08" * 48, bytes(48)):
        unsigned = {index: SIGNED[index] for index in (0, 1, 2)} | ({8: signer} if signer else {})
        assert not ask(policy, "kms:Decrypt", unsigned).allowed


@pytest.mark.parametrize(
    ("elements", "matches"),
    [
        ({"Action": "kms:decrypt"}, True),
        ({"Action": "kms:D*"}, True),
        ({"Action": "*"}, True),
        ({"Action": ["kms:Encrypt", "kms:Dec????"]}, True),
        ({"Action": "kms:Dec"}, False),
        ({"Action": "kms:[D]ecrypt"}, False),
        ({"Action": None, "NotAction": "kms:Encrypt"}, True),
        ({"Action": None, "NotAction": ["kms:Encrypt", "kms:De*"]}, False),
        ({"Resource": KEY}, True),
        ({"Resource": KEY + "0"}, False),
        ({"Resource": None, "NotResource": KEY}, False),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"AWS": [ADMIN, ROLE]}}, True),
        ({"Principal": {"AWS": ADMIN}}, False),
        ({"Principal": {"Service": "ec2.amazonaws.com"}}, False),
    ],
)
def test_elements_match_as_iam_says(elements: dict[str, Any], matches: bool) -> None:
    assert ask(one("Allow", **elements), "kms:Decrypt").allowed is matches
    assert ask(one("Deny", **elements), "kms:Decrypt").explicit_deny is matches


@pytest.mark.parametrize("account", [ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root"])
def test_the_account_as_principal_closes_to_all_and_opens_to_root_alone(account: str) -> None:
    for principal in (ROLE, SESSION):
        assert not ask(one("Allow", Principal={"AWS": account}), "kms:Decrypt", None, principal).allowed
        assert ask(one("Deny", Principal={"AWS": account}), "kms:Decrypt", None, principal).explicit_deny
    assert ask(one("Allow", Principal={"AWS": account}), "kms:Decrypt", None, ROOT).allowed


def test_a_role_with_a_path_is_that_of_its_sessions() -> None:
    policy = one("Allow", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/team/x/enclave"})
    assert ask(policy, "kms:Decrypt", None, SESSION).allowed


def test_an_explicit_deny_wins_wherever_it_stands() -> None:
    allow, deny = one("Allow", Sid="yes")["Statement"], one("Deny", Sid="no")["Statement"]
    for statements in ([allow, deny], [deny, allow]):
        assert ask({"Statement": statements}, "kms:Decrypt").statement_id == "no"
    assert ask({"Statement": []}, "kms:Decrypt").statement_id is None
    assert ask({"Statement": [one("Allow")["Statement"]]}, "kms:Decrypt").statement_id == "#0"


CONTEXT = {"one": "A", "many": ["a", "b"], "yes": "true", "arn": "arn:aws:iam::1:role/a/b"}


@pytest.mark.parametrize(
    ("operator", "key", "wanted", "expected"),
    [
        ("StringEquals", "one", "A", True),
        ("StringEquals", "ONE", "A", True),
        ("StringEquals", "one", "a", False),
        ("StringEquals", "one", ["x", "A"], True),
        ("StringEquals", "none", "A", False),
        ("StringEquals", "many", "a", None),
        ("StringEqualsIfExists", "none", "A", True),
        ("StringEqualsIgnoreCase", "one", "a", True),
        ("StringNotEquals", "one", "A", False),
        ("StringNotEquals", "one", "B", True),
        ("StringNotEquals", "one", ["B", "A"], False),
        ("StringNotEquals", "none", "A", True),
        ("StringLike", "one", "?", True),
        ("StringLike", "one", "*B", False),
        ("StringNotLike", "one", "*", False),
        ("Bool", "yes", "true", True),
        ("Bool", "yes", True, True),
        ("Bool", "yes", "false", False),
        ("Bool", "none", "true", False),
        ("Null", "none", "true", True),
        ("Null", "none", True, True),
        ("Null", "one", "true", False),
        ("Null", "one", "false", True),
        ("Null", "none", "false", False),
        ("Null", "one", "maybe", None),
        ("ForAllValues:StringEquals", "many", ["a", "b", "c"], True),
        ("ForAllValues:StringEquals", "many", "a", False),
        ("ForAllValues:StringEquals", "none", "a", True),
        ("ForAnyValue:StringEquals", "many", "a", True),
        ("ForAnyValue:StringEquals", "many", "c", False),
        ("ForAnyValue:StringEquals", "none", "a", False),
        ("ForAnyValue:StringNotEquals", "none", "a", False),
        ("ForAllValues:StringNotEquals", "many", "a", False),
        ("ForAllValues:StringNotEquals", "many", "c", True),
        ("ArnLike", "arn", "arn:aws:iam::*:role/*", True),
        ("ArnEquals", "arn", "arn:aws:iam::*:role/*", True),
        ("ArnLike", "arn", "arn:*:role/a/b", False),
        ("ArnLike", "arn", "arn:*", False),
        ("ArnLike", "one", "*", False),
        ("ArnNotLike", "arn", "arn:aws:iam::*:role/*", False),
        ("ArnNotEquals", "none", "arn:aws:iam::1:role/x", True),
        ("stringequals", "one", "A", None),
        ("NullIfExists", "one", "true", None),
        ("ForAnyValue:Null", "one", "true", None),
        ("NumericEquals", "one", "1", None),
        ("ForSomeValues:StringEquals", "many", "a", None),
        ("StringEquals", "one", "${aws:username}", None),
        ("StringEquals", "one", 7, None),
        ("StringEquals", "one", [], None),
    ],
)
def test_operators_decide_as_iam_says_and_what_is_unknown_fails_closed(
    operator: str, key: str, wanted: object, expected: bool | None
) -> None:
    condition = {operator: {key: wanted}}
    assert holds(condition, CONTEXT) is expected
    prefix = "kms:EncryptionContext:"
    given = {f"{prefix}{name}": value for name, value in CONTEXT.items()}
    condition = {operator: {f"{prefix}{key}": wanted}}
    allow = keypolicy.evaluate(one("Allow", Condition=condition), "kms:Decrypt", ROLE, given)
    deny = keypolicy.evaluate(one("Deny", Condition=condition), "kms:Decrypt", ROLE, given)
    assert allow.allowed is (expected is True)
    assert deny.explicit_deny is (expected is not False)


def test_all_lines_of_a_block_must_hold() -> None:
    assert holds({}, CONTEXT) is True
    assert holds({"StringEquals": {"one": "A"}, "Bool": {"yes": "true"}}, CONTEXT) is True
    assert holds({"StringEquals": {"one": "A", "none": "x"}}, CONTEXT) is False
    assert holds({"StringEquals": {"one": "A"}, "Unknown": {"one": "A"}}, CONTEXT) is None
    assert holds({"StringEquals": {"one": "B"}, "Unknown": {"one": "A"}}, CONTEXT) is False
    assert holds({"StringEquals": "not an object"}, CONTEXT) is None
    assert holds({"StringEquals": {}}, CONTEXT) is None
    assert holds({"StringEquals": {"one": "A"}}, {"one": "A", "ONE": "B"}) is None


@pytest.mark.parametrize(
    "policy",
    [
        None,
        [],
        {},
        {"Statement": "x"},
        {"Statement": ["x"]},
        {"Statement": [{"Effect": "Allow"}]},
        one("allow"),
        one("Allow", Principal=None),
        one("Allow", Principal="arn:aws:iam::1:root"),
        one("Allow", Principal={"Unknown": "*"}),
        one("Allow", Principal={"AWS": 1}),
        one("Allow", Principal=None, NotPrincipal="*"),
        one("Allow", Principal={"AWS": ROLE, "Service": 1}),
        one("Allow") | {"Statements": []},
        one("Allow") | {"Version": "2030-01-01"},
        one("Allow", Action=None),
        one("Allow", NotAction="kms:*"),
        one("Allow", Action=[1]),
        one("Allow", Resource=None),
        one("Allow", Condition="x"),
        one("Allow", Sid=7),
    ],
)
def test_a_policy_that_cannot_be_read_decides_nothing(policy: object) -> None:
    with pytest.raises(MalformedError, match="key policy"):
        ask(policy, "kms:Decrypt")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=5,
)
_names = st.sampled_from(["Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "Condition"])


@given(statement=st.dictionaries(_names, _json | st.sampled_from(["Allow", "Deny", "*"])))
def test_any_json_is_a_policy_or_malformed(statement: dict[str, Any]) -> None:
    for policy in (statement, {"Statement": statement}):
        try:
            ask(policy, "kms:Decrypt", IMAGE)
        except MalformedError:
            continue


@given(text=st.text("ab", max_size=8), data=st.data())
def test_a_star_is_any_text_and_a_question_mark_one_character(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    assert wild(f"{text[:start]}*{text[end:]}", text)
    assert wild("?" * len(text), text)
    assert not wild("?" * (len(text) + 1), text)
    assert not wild(text + "*c", text)
    assert wild("*" * 2000, text)
