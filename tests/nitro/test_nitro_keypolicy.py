"""Key policies: what is built opens to the image alone, and the engine decides as IAM is documented to."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatory.errors import ConfigError, MalformedError
from signatory.nitro import keypolicy
from signatory.nitro.keypolicy_conditions import holds, wild

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/enclave"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/enclave/i-0123"
ADMIN = f"arn:aws:iam::{ACCOUNT}:role/admin"
KEY = f"arn:aws:kms:us-west-2:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
IMAGE = {0: b"\xa0" * 48, 1: b"\xa1" * 48, 2: b"\xa2" * 48}
OTHER = {0: b"\xb0" * 48, 1: b"\xb1" * 48, 2: b"\xb2" * 48}


def _policy(**changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "account": ACCOUNT,
        "enclave_role": ROLE,
        "images": [IMAGE],
        "kms_encrypt_v0": True,
    }
    return keypolicy.build(**(usual | changes))


def _ask(
    policy: object,
    action: str,
    pcrs: dict[int, bytes] | None = None,
    principal: str = ROLE,
    context: dict[str, str] | None = None,
) -> keypolicy.Verdict:
    return keypolicy.evaluate(
        policy, action, principal, keypolicy.context_of(pcrs, context or {}), resource=KEY
    )


def test_what_is_built_is_this_document() -> None:
    assert _policy(administrators=[ADMIN], context_keys=["key_id"])["Statement"][1:] == [
        {
            "Sid": "EnclaveImage1",
            "Effect": "Allow",
            "Principal": {"AWS": ROLE},
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": "*",
            "Condition": {
                "StringEqualsIgnoreCase": {
                    "kms:RecipientAttestation:ImageSha384": "a0" * 48,
                    "kms:RecipientAttestation:PCR0": "a0" * 48,
                    "kms:RecipientAttestation:PCR1": "a1" * 48,
                    "kms:RecipientAttestation:PCR2": "a2" * 48,
                },
                "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["key_id"]},
                "Null": {"kms:EncryptionContext:key_id": "false"},
            },
        },
        {
            "Sid": "EncryptForKmsEncryptV0",
            "Effect": "Allow",
            "Principal": {"AWS": ROLE},
            "Action": ["kms:Encrypt"],
            "Resource": "*",
        },
        {
            "Sid": "DenyWithoutRecipient",
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": "*",
            "Condition": {"Null": {"kms:RecipientAttestation:ImageSha384": "true"}},
        },
        {
            "Sid": "DenyToTheRole",
            "Effect": "Deny",
            "Principal": {"AWS": ROLE},
            "Action": [
                "kms:CreateGrant",
                "kms:GenerateDataKeyPair*",
                "kms:GenerateDataKeyWithoutPlaintext",
                "kms:PutKeyPolicy",
                "kms:ReEncrypt*",
            ],
            "Resource": "*",
        },
    ]


@pytest.mark.parametrize("principal", [ROLE, SESSION])
@pytest.mark.parametrize("action", ["kms:Decrypt", "kms:GenerateDataKey"])
def test_the_measured_image_is_let_in_under_its_role_and_its_sessions(action: str, principal: str) -> None:
    assert _ask(_policy(), action, IMAGE, principal) == keypolicy.Verdict(
        True, "EnclaveImage1", "allowed by statement EnclaveImage1"
    )


@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_other_register_keeps_an_image_out_in_the_words_of_aws(index: int) -> None:
    verdict = _ask(_policy(), "kms:Decrypt", IMAGE | {index: b"\x01" * 48})
    assert verdict == keypolicy.Verdict(
        False,
        None,
        f"User: {ROLE} is not authorized to perform: kms:Decrypt on resource: {KEY} "
        "because no resource-based policy allows the kms:Decrypt action",
    )


def test_without_a_recipient_it_is_an_explicit_deny_for_everybody() -> None:
    for principal in (ROLE, SESSION, ADMIN, f"arn:aws:iam::{ACCOUNT}:root"):
        verdict = _ask(_policy(), "kms:Decrypt", None, principal)
        assert verdict == keypolicy.Verdict(
            False,
            "DenyWithoutRecipient",
            f"User: {principal} is not authorized to perform: kms:Decrypt on resource: {KEY} "
            "with an explicit deny in a resource-based policy",
            True,
        )


def test_a_debug_enclave_meets_no_condition_even_when_the_policy_says_zeros() -> None:
    policy = json.loads(json.dumps(_policy()).replace("a0" * 48, "00" * 48))
    assert not _ask(policy, "kms:Decrypt", IMAGE | {0: bytes(48)}).allowed


@pytest.mark.parametrize("v0", [True, False])
def test_encrypt_is_open_for_v0_alone(v0: bool) -> None:
    verdict = _ask(_policy(kms_encrypt_v0=v0), "kms:Encrypt")
    assert (verdict.allowed, verdict.explicit_deny) == (v0, not v0)


@pytest.mark.parametrize(
    "action",
    [
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
        "kms:CreateGrant",
        "kms:PutKeyPolicy",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:GenerateDataKeyPair",
        "kms:GenerateDataKeyPairWithoutPlaintext",
    ],
)
def test_the_role_can_never_open_the_key_further(action: str) -> None:
    assert _ask(_policy(enclave_role=ROLE), action, IMAGE).explicit_deny


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
    assert not _ask(_policy(administrators=[ADMIN]), "kms:Decrypt", IMAGE, principal).allowed


def test_administrators_manage_and_do_not_use() -> None:
    policy = _policy(administrators=[ADMIN])
    assert _ask(policy, "kms:PutKeyPolicy", None, ADMIN).statement_id == "Administration"
    for action in ("kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:CreateGrant"):
        assert not _ask(policy, action, IMAGE, ADMIN).allowed


def test_two_images_are_let_in_and_no_mixture_of_them() -> None:
    policy = _policy(images=[IMAGE, OTHER])
    assert _ask(policy, "kms:Decrypt", IMAGE).statement_id == "EnclaveImage1"
    assert _ask(policy, "kms:Decrypt", OTHER).statement_id == "EnclaveImage2"
    assert not _ask(policy, "kms:Decrypt", IMAGE | {1: OTHER[1]}).allowed


def test_a_signed_image_is_held_to_its_signer() -> None:
    policy = _policy(images=[IMAGE | {8: b"\xa8" * 48}])
    assert _ask(policy, "kms:Decrypt", IMAGE | {8: b"\xa8" * 48}).allowed
    assert not _ask(policy, "kms:Decrypt", IMAGE).allowed


def test_context_keys_must_be_there_and_no_others() -> None:
    policy = _policy(context_keys=["user_id"])
    assert _ask(policy, "kms:Decrypt", IMAGE, context={"user_id": "u"}).allowed
    for context in ({}, {"key_id": "k"}, {"user_id": "u", "key_id": "k"}):
        assert not _ask(policy, "kms:Decrypt", IMAGE, context=context).allowed


@pytest.mark.parametrize(
    "changes",
    [
        {"images": []},
        {"images": [{}]},
        {"images": [{0: IMAGE[0], 1: IMAGE[1]}]},
        {"images": [IMAGE | {2: bytes(48)}]},
        {"images": [IMAGE | {2: b"x"}]},
        {"images": [IMAGE | {32: b"\1" * 48}]},
        {"account": "1"},
        {"enclave_role": "*"},
        {"enclave_role": f"arn:aws:iam::{ACCOUNT}:role/*"},
    ],
)
def test_a_policy_that_would_open_to_more_is_not_built(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        _policy(**changes)


def _one(effect: str, **elements: Any) -> dict[str, Any]:
    statement = {"Effect": effect, "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"} | elements
    return {"Version": "2012-10-17", "Statement": {name: value for name, value in statement.items() if value}}


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
    assert _ask(_one("Allow", **elements), "kms:Decrypt").allowed is matches
    assert _ask(_one("Deny", **elements), "kms:Decrypt").explicit_deny is matches


@pytest.mark.parametrize("account", [ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root"])
def test_the_account_as_principal_closes_to_all_and_opens_to_root_alone(account: str) -> None:
    for principal in (ROLE, SESSION):
        assert not _ask(_one("Allow", Principal={"AWS": account}), "kms:Decrypt", None, principal).allowed
        assert _ask(_one("Deny", Principal={"AWS": account}), "kms:Decrypt", None, principal).explicit_deny
    root = f"arn:aws:iam::{ACCOUNT}:root"
    assert _ask(_one("Allow", Principal={"AWS": account}), "kms:Decrypt", None, root).allowed


def test_a_role_with_a_path_is_that_of_its_sessions() -> None:
    policy = _one("Allow", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/team/x/enclave"})
    assert _ask(policy, "kms:Decrypt", None, SESSION).allowed


def test_an_explicit_deny_wins_wherever_it_stands() -> None:
    allow, deny = _one("Allow", Sid="yes")["Statement"], _one("Deny", Sid="no")["Statement"]
    for statements in ([allow, deny], [deny, allow]):
        assert _ask({"Statement": statements}, "kms:Decrypt").statement_id == "no"
    assert _ask({"Statement": []}, "kms:Decrypt").statement_id is None
    assert _ask({"Statement": [_one("Allow")["Statement"]]}, "kms:Decrypt").statement_id == "#0"


CONTEXT = {"one": "A", "many": ["a", "b"], "yes": "true"}


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
    allow = keypolicy.evaluate(_one("Allow", Condition=condition), "kms:Decrypt", ROLE, CONTEXT)
    deny = keypolicy.evaluate(_one("Deny", Condition=condition), "kms:Decrypt", ROLE, CONTEXT)
    assert allow.allowed is (expected is True)
    assert deny.explicit_deny is (expected is not False)


def test_all_lines_of_a_block_must_hold() -> None:
    assert holds({}, CONTEXT) is True
    assert holds({"StringEquals": {"one": "A"}, "Bool": {"yes": "true"}}, CONTEXT) is True
    assert holds({"StringEquals": {"one": "A", "none": "x"}}, CONTEXT) is False
    assert holds({"StringEquals": {"one": "A"}, "Unknown": {"one": "A"}}, CONTEXT) is None
    assert holds({"StringEquals": {"one": "B"}, "Unknown": {"one": "A"}}, CONTEXT) is False
    assert holds({"StringEquals": "not an object"}, CONTEXT) is None


@pytest.mark.parametrize(
    "policy",
    [
        None,
        [],
        {},
        {"Statement": "x"},
        {"Statement": ["x"]},
        {"Statement": [{"Effect": "Allow"}]},
        _one("allow"),
        _one("Allow", Principal=None),
        _one("Allow", Principal="arn:aws:iam::1:root"),
        _one("Allow", Principal={"Unknown": "*"}),
        _one("Allow", Principal={"AWS": 1}),
        _one("Allow", Principal=None, NotPrincipal="*"),
        _one("Allow", Action=None),
        _one("Allow", NotAction="kms:*"),
        _one("Allow", Action=[1]),
        _one("Allow", Resource=None),
        _one("Allow", Condition="x"),
        _one("Allow", Sid=7),
    ],
)
def test_a_policy_that_cannot_be_read_decides_nothing(policy: object) -> None:
    with pytest.raises(MalformedError, match="key policy"):
        _ask(policy, "kms:Decrypt")


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
            _ask(policy, "kms:Decrypt", IMAGE)
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
