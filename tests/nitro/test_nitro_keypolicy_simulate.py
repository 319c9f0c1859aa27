"""A simulation has a row for every call that matters, and none passes by what is not understood."""

import copy
import json
from typing import Any

import pytest
from keypolicy_samples import ACCOUNT, ADMIN, IMAGE, KEY, OTHER, ROLE, ROOT, SIGNED, made, one

from signatory.errors import ConfigError
from signatory.nitro.keypolicy_simulate import Row, simulate, subject_of
from signatory.nitro.keypolicy_subject import Subject

POLICY = made(images=[SIGNED], context_keys=["key_id"])


def rows_of(policy: dict[str, Any], **given: Any) -> tuple[Row, ...]:
    return simulate(policy, subject_of(policy, **given))


def wrong(policy: dict[str, Any], **given: Any) -> set[tuple[str, str, str]]:
    """Action, caller and call of the rows that are not as expected."""
    return {
        (row.case.action, row.case.caller, row.case.situation)
        for row in rows_of(policy, **given)
        if not row.as_expected
    }


def changed(**elements: Any) -> dict[str, Any]:
    """The policy, these elements of the enclave's statement changed."""
    policy = copy.deepcopy(POLICY)
    policy["Statement"][1] |= elements
    return policy


def without(sid: str) -> dict[str, Any]:
    return POLICY | {"Statement": [each for each in POLICY["Statement"] if each["Sid"] != sid]}


@pytest.mark.parametrize("keys", [["key_id"], ["user_id"], ["key_id", "user_id"]])
@pytest.mark.parametrize("images", [[IMAGE], [SIGNED], [IMAGE, SIGNED], [IMAGE, OTHER, SIGNED]])
@pytest.mark.parametrize("v0", [False, True])
def test_what_is_built_comes_out_as_it_should(
    images: list[dict[int, bytes]], keys: list[str], v0: bool
) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/team/enclave"
    policy = made(enclave_role=role, images=images, context_keys=keys, kms_encrypt_v0=v0)
    assert wrong(policy, kms_encrypt_v0=v0) == set()
    assert subject_of(policy) == Subject(role, tuple(images), tuple(keys))


def test_every_call_that_the_checklist_names_has_its_row() -> None:
    rows = {(row.case.action, row.case.situation, row.expected) for row in rows_of(POLICY)}
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        assert (action, "attested by image 1, context {key_id}", "allowed") in rows
        assert (action, "no Recipient", "denied") in rows
        for situation in (
            *(f"image 1 with another PCR{index}" for index in (0, 1, 2, 8)),
            "image 1 unsigned (PCR8)",
            "image 1 in debug mode (zero PCRs)",
            "attested by image 1, another context key",
            "attested by image 1, an extra context key beside key_id",
            "attested by image 1, no context",
        ):
            assert (action, situation, "refused") in rows
    for name in (
        "Encrypt",
        "ReEncryptFrom",
        "ReEncryptTo",
        "CreateGrant",
        "PutKeyPolicy",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
    ):
        assert (f"kms:{name}", "", "denied") in rows
    assert ("kms:ScheduleKeyDeletion", "", "refused") in rows
    callers = {row.case.caller for row in rows_of(POLICY)}
    assert callers == {
        "the enclave's role",
        "another role of the account",
        "the account's root",
        "the same role of another account",
    }


def test_a_row_names_the_statement_that_decides() -> None:
    by_call = {
        (row.case.action, row.case.caller, row.case.situation): row.statement for row in rows_of(POLICY)
    }
    role = "the enclave's role"
    assert by_call["kms:Decrypt", role, "attested by image 1, context {key_id}"] == "EnclaveImage1KeyId"
    assert by_call["kms:Decrypt", role, "no Recipient"] == "DenyWithoutRecipient"
    assert by_call["kms:CreateGrant", role, ""] == "DenyToTheRole"
    assert by_call["kms:Decrypt", role, "image 1 with another PCR0"] is None


@pytest.mark.parametrize("index", [1, 2, 8])
def test_a_register_that_the_policy_does_not_ask_for_shows(index: int) -> None:
    condition = json.loads(json.dumps(POLICY["Statement"][1]["Condition"]))
    del condition["StringEqualsIgnoreCase"][f"kms:RecipientAttestation:PCR{index}"]
    policy = changed(Condition=condition)
    found = {situation for *_, situation in wrong(policy, images=[SIGNED])}
    assert found >= {f"image 1 with another PCR{index}"}
    if index != 8:
        assert {situation for *_, situation in wrong(policy)} == found


def test_a_policy_by_signer_alone_lets_other_images_in() -> None:
    condition = {"StringEquals": {"kms:RecipientAttestation:PCR8": SIGNED[8].hex()}}
    found = {situation for *_, situation in wrong(changed(Condition=condition), images=[SIGNED])}
    assert {"image 1 with another PCR0", "image 1 with another PCR1", "image 1 with another PCR2"} <= found


def test_values_side_by_side_let_mixtures_in() -> None:
    pcrs = {
        f"kms:RecipientAttestation:PCR{index}": [IMAGE[index].hex(), OTHER[index].hex()]
        for index in (0, 1, 2)
    }
    policy = changed(Condition=POLICY["Statement"][1]["Condition"] | {"StringEqualsIgnoreCase": pcrs})
    found = {situation for *_, situation in wrong(policy, images=[IMAGE, OTHER])}
    assert found == {
        f"image {one_} with PCR{index} of image {other}"
        for one_, other in ((1, 2), (2, 1))
        for index in (0, 1, 2)
    }
    with pytest.raises(ConfigError, match="exactly one value"):
        subject_of(policy)


def test_zeros_in_a_policy_let_debug_enclaves_in() -> None:
    policy = json.loads(json.dumps(POLICY).replace("c0" * 48, "00" * 48).replace("c1" * 48, "00" * 48))
    policy = json.loads(json.dumps(policy).replace("c2" * 48, "00" * 48).replace("c8" * 48, "00" * 48))
    assert ("kms:Decrypt", "the enclave's role", "image 1 in debug mode (zero PCRs)") in wrong(
        policy, images=[SIGNED]
    )


def test_for_all_values_without_null_lets_a_missing_context_in() -> None:
    condition = {name: each for name, each in POLICY["Statement"][1]["Condition"].items() if name != "Null"}
    found = {situation for *_, situation in wrong(changed(Condition=condition))}
    assert found == {"attested by image 1, no context"}


def test_a_context_key_alone_does_not_keep_others_out() -> None:
    condition = dict(POLICY["Statement"][1]["Condition"])
    del condition["ForAllValues:StringEquals"]
    found = {situation for *_, situation in wrong(changed(Condition=condition), context_keys=["key_id"])}
    assert "attested by image 1, an extra context key beside key_id" in found
    assert "attested by image 1, context key KEY_ID" in found


@pytest.mark.parametrize("sid", ["DenyWithoutRecipient", "DenyToTheRole"])
def test_a_refusal_that_a_grant_or_an_iam_policy_could_lift_is_no_denial(sid: str) -> None:
    rows = [row for row in rows_of(without(sid)) if not row.as_expected]
    assert {row.expected for row in rows} >= {"denied"}
    assert {row.verdict for row in rows} == {"refused"} | ({"unclear"} if sid == "DenyToTheRole" else set())


def test_an_allow_to_the_account_leaves_it_to_iam() -> None:
    account = one("Allow", Principal={"AWS": ROOT}, Action="kms:*")["Statement"]
    policy = without("DenyWithoutRecipient")
    policy["Statement"] = [*policy["Statement"], account]
    found = wrong(policy)
    assert ("kms:Decrypt", "the enclave's role", "no Recipient") in found
    assert ("kms:Decrypt", "another role of the account", "no Recipient") in found


def test_the_policy_that_aws_makes_by_default_fails_and_says_where_iam_decides() -> None:
    policy = one("Allow", Principal={"AWS": ROOT}, Action="kms:*")
    verdicts = {row.verdict for row in rows_of(policy, role=ROLE, images=[IMAGE]) if not row.as_expected}
    assert verdicts == {"allowed", "unclear", "refused"}


@pytest.mark.parametrize(
    "statement",
    [
        one("Allow", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})["Statement"],
        one("Allow", Condition={"StringEquals": {"aws:SourceVpce": "vpce-1"}})["Statement"],
        one("Allow", Principal={"AWS": "AROADELETED"})["Statement"],
    ],
)
def test_an_allow_that_is_not_understood_is_no_refusal(statement: dict[str, Any]) -> None:
    policy = without("DenyWithoutRecipient")
    policy["Statement"] = [*policy["Statement"], statement]
    row = next(each for each in rows_of(policy, role=ROLE) if each.case.situation == "no Recipient")
    assert (row.verdict, row.as_expected) == ("unclear", False)


def test_a_deny_that_is_not_understood_is_neither_refusal_nor_harmless() -> None:
    deny = one("Deny", Condition={"Bool": {"aws:SecureTransport": "false"}})["Statement"]
    policy = POLICY | {"Statement": [*POLICY["Statement"], deny]}
    row = next(each for each in rows_of(policy) if each.expected == "allowed")
    assert (row.verdict, row.as_expected) == ("unclear", False)
    refusing = without("DenyWithoutRecipient")
    refusing["Statement"] = [*refusing["Statement"], one("Allow")["Statement"], deny]
    row = next(each for each in rows_of(refusing, role=ROLE) if each.case.situation == "no Recipient")
    assert not row.as_expected


def test_a_register_of_the_deployment_must_be_told() -> None:
    condition = copy.deepcopy(POLICY["Statement"][1]["Condition"])
    condition["StringEqualsIgnoreCase"]["kms:RecipientAttestation:PCR3"] = "03" * 48
    policy = changed(Condition=condition)
    assert wrong(policy) == set()
    unclear = [row for row in rows_of(policy, images=[SIGNED]) if not row.as_expected]
    assert {row.verdict for row in unclear} == {"unclear"}
    assert wrong(policy, images=[SIGNED | {3: b"\x03" * 48}]) == set()


def test_a_policy_that_names_its_key_wants_to_be_told_it() -> None:
    policy = changed(Resource=KEY)
    assert wrong(policy)
    assert wrong(policy, key=KEY) == set()


def test_everybody_bound_to_a_role_by_a_condition_is_that_role() -> None:
    condition = POLICY["Statement"][1]["Condition"] | {"ArnEquals": {"aws:PrincipalArn": ROLE}}
    assert wrong(changed(Principal="*", Condition=condition), role=ROLE) == set()


def test_encrypt_for_the_reference_scheme_must_be_wanted() -> None:
    policy = made(context_keys=["key_id"], kms_encrypt_v0=True)
    assert {action for action, *_ in wrong(policy)} == {"kms:Encrypt", "kms:Decrypt"}
    assert wrong(policy, kms_encrypt_v0=True) == set()
    assert wrong(made(context_keys=["key_id"]), kms_encrypt_v0=True)


@pytest.mark.parametrize(
    "policy",
    [
        one("Allow", Principal={"AWS": ROOT}),
        one("Allow", Principal={"AWS": [ROLE, ADMIN]}, Condition={"Null": {"a": "true"}}),
    ],
)
def test_a_policy_that_does_not_say_its_role_wants_it_told(policy: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        subject_of(policy)
    assert "--role" in str(caught.value.hint)


def test_a_policy_without_an_image_wants_one_told() -> None:
    policy = one(
        "Allow", Principal={"AWS": ROLE}, Condition={"Null": {"kms:RecipientAttestation:PCR0": "false"}}
    )
    with pytest.raises(ConfigError, match="names no image"):
        subject_of(policy)
    with pytest.raises(ConfigError, match="not the ARN"):
        subject_of(policy, role="*", images=[IMAGE])
