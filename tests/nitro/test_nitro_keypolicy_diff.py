"""Two policies are compared by what they mean, and a change is said as what it opens or closes."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keypolicy_samples import ACCOUNT, ADMIN, IMAGE, OTHER, ROLE, ROOT, SIGNED, ask, made, one

from signatory.errors import MalformedError
from signatory.nitro.keypolicy_diff import Change, compare
from signatory.nitro.keypolicy_names import ACTIONS

POLICY = made(context_keys=["key_id", "user_id"], kms_encrypt_v0=True)


def _statements(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def test_sids_order_and_scalars_for_lists_mean_nothing() -> None:
    other = copy.deepcopy(POLICY)
    other["Statement"].reverse()
    other["Id"] = "another"
    for statement in other["Statement"]:
        del statement["Sid"]
        statement["Action"] = list(reversed(statement["Action"]))
        if len(statement["Action"]) == 1:
            statement["Action"] = statement["Action"][0].lower()
        for lines in statement.get("Condition", {}).values():
            for key, value in list(lines.items()):
                if value in ("true", "false"):
                    lines[key] = [value == "true"]
    assert compare(POLICY, other) == compare(other, POLICY) == ()


def test_a_statement_may_be_cut_in_two_and_a_pattern_written_out() -> None:
    whole = one("Deny", Principal={"AWS": [ROLE, ADMIN]}, Action=["kms:ReEncrypt*", "kms:Encrypt"])
    cut = _statements(
        one("Deny", Principal={"AWS": ADMIN}, Action=["kms:Encrypt", "kms:ReEncryptTo"])["Statement"],
        one("Deny", Principal={"AWS": ROLE}, Action=["kms:Encrypt", "kms:ReEncryptFrom"])["Statement"],
        one("Deny", Principal={"AWS": [ROLE]}, Action="kms:ReEncryptTo")["Statement"],
        one("Deny", Principal={"AWS": ADMIN}, Action="kms:reencryptfrom")["Statement"],
    )
    assert compare(whole, cut) == ()


def test_an_account_has_two_names() -> None:
    assert compare(one("Deny", Principal={"AWS": ACCOUNT}), one("Deny", Principal={"AWS": ROOT})) == ()


def test_all_actions_are_more_than_those_of_today() -> None:
    (change,) = compare(one("Allow", Action="kms:*"), one("Allow", Action=list(ACTIONS)))
    assert change == Change(False, "no longer allowed: everybody: every action that is not known today")
    assert compare(one("Allow", Action="kms:*"), one("Allow", Action="*")) == ()
    assert compare(one("Deny", Action="kms:*"), one("Deny", Action=None, NotAction="ec2:*")) == ()


def test_an_image_more_opens_and_an_image_less_closes_with_its_registers_named() -> None:
    before, after = made(images=[IMAGE, OTHER]), made(images=[OTHER, SIGNED])
    closes, opens = compare(before, after)
    assert (closes.opens, opens.opens) == (False, True)
    what = f"allowed: {ROLE}: kms:Decrypt, kms:GenerateDataKey"
    assert (closes.text, opens.text) == (f"no longer {what}", what)
    assert closes.conditions == (
        f"the image (ImageSha384) is {'a0' * 48}",
        f"PCR0 is {'a0' * 48}",
        f"PCR1 is {'a1' * 48}",
        f"PCR2 is {'a2' * 48}",
    )
    assert opens.conditions[-1] == f"PCR8 is {'c8' * 48}"


def test_the_deny_without_recipient_that_is_gone_opens() -> None:
    without = copy.deepcopy(POLICY)
    without["Statement"] = [each for each in without["Statement"] if each["Sid"] != "DenyWithoutRecipient"]
    (change,) = compare(POLICY, without)
    assert change == Change(
        True,
        "no longer denied: everybody: kms:Decrypt, kms:GenerateDataKey",
        ("there is no attestation document",),
    )
    (back,) = compare(without, POLICY)
    assert (back.opens, back.text) == (False, "denied: everybody: kms:Decrypt, kms:GenerateDataKey")


def test_the_reference_scheme_opens_and_says_what() -> None:
    changes = compare(made(context_keys=["key_id"]), made(context_keys=["key_id"], kms_encrypt_v0=True))
    assert [change.opens for change in changes] == [False, True, True, True]
    assert Change(True, f"allowed: {ROLE}: kms:Encrypt", ("there is no encryption context",)) in changes


def test_other_context_keys_are_named() -> None:
    closes, opens = compare(made(context_keys=["key_id"]), made(context_keys=["user_id"]))
    assert closes.conditions[:2] == (
        "the encryption context has no key but key_id",
        "the encryption context has the key key_id",
    )
    assert opens.conditions[1] == "the encryption context has the key user_id"


@pytest.mark.parametrize(
    "other",
    [
        one("Allow", Principal={"Service": "lambda.amazonaws.com"}),
        one("Allow", Principal={"AWS": ROLE}),
        one("Allow", Resource="arn:aws:kms:us-west-2:111122223333:key/x"),
        one("Allow", Resource=None, NotResource="*"),
        one("Allow", Action="kms:decryptx"),
        one("Allow", Condition={"Unheard": "of"}),
        one("Allow", Condition={"Unheard": {"of": [1, {"deep": None}]}}),
        one("Deny"),
    ],
)
def test_every_other_statement_is_a_change_in_both_directions(other: dict[str, Any]) -> None:
    assert compare(one("Allow"), other)
    assert compare(other, one("Allow"))


def test_another_version_reads_variables_otherwise() -> None:
    policy = one("Allow", Condition={"StringLike": {"aws:userid": "${aws:userid}"}})
    assert compare(policy, policy | {"Version": "2008-10-17"})
    assert compare(one("Allow"), one("Allow") | {"Version": "2008-10-17"}) == ()


def test_a_policy_that_cannot_be_read_has_no_difference_to_tell() -> None:
    with pytest.raises(MalformedError, match="NotPrincipal"):
        compare(POLICY, one("Deny", Principal=None, NotPrincipal={"AWS": ROLE}))


_pieces = st.lists(
    st.builds(
        lambda effect, principal, action, condition: one(
            effect, Principal={"AWS": principal}, Action=action, Condition=condition
        )["Statement"],
        st.sampled_from(["Allow", "Deny"]),
        st.lists(st.sampled_from([ROLE, ADMIN, "*"]), min_size=1, max_size=2),
        st.lists(st.sampled_from(["kms:Decrypt", "kms:De*", "kms:*", "kms:Encrypt"]), min_size=1, max_size=2),
        st.sampled_from([{}, {"Null": {"kms:EncryptionContextKeys": "true"}}]),
    ),
    max_size=4,
)


@given(first=_pieces, second=_pieces)
def test_policies_without_a_change_decide_alike_and_a_change_has_an_opposite(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    before, after = {"Statement": first}, {"Statement": second}
    changes, back = compare(before, after), compare(after, before)
    assert len(changes) == len(back)
    assert sum(change.opens for change in changes) == sum(not change.opens for change in back)
    if not changes:
        for action in ("kms:Decrypt", "kms:Encrypt", "kms:DescribeKey"):
            for context in ({}, {"a": "b"}):
                for principal in (ROLE, ADMIN, ROOT):
                    verdicts = [ask(each, action, None, principal, context) for each in (before, after)]
                    assert verdicts[0].allowed == verdicts[1].allowed
