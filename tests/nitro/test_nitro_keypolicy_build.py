"""The policy that is built opens to its images, under its role, in its contexts, and to nothing else."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keypolicy_samples import ACCOUNT, ADMIN, IMAGE, OTHER, ROLE, ROOT, SESSION, SIGNED, ask, made

from signatory.errors import ConfigError

STATEMENT = {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Resource": "*"}
PCRS = {
    "kms:RecipientAttestation:ImageSha384": "a0" * 48,
    "kms:RecipientAttestation:PCR0": "a0" * 48,
    "kms:RecipientAttestation:PCR1": "a1" * 48,
    "kms:RecipientAttestation:PCR2": "a2" * 48,
}
FORBIDDEN = [
    "kms:CreateGrant",
    "kms:DeleteImportedKeyMaterial",
    "kms:DisableKey",
    "kms:Encrypt",
    "kms:GenerateDataKeyPair*",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ImportKeyMaterial",
    "kms:PutKeyPolicy",
    "kms:ReEncrypt*",
    "kms:ReplicateKey",
    "kms:ScheduleKeyDeletion",
]


def test_what_is_built_is_this_document() -> None:
    policy = made(administrators=[ADMIN], context_keys=["key_id"])
    assert policy["Version"] == "2012-10-17"
    assert policy["Statement"][0]["Principal"] == {"AWS": [ADMIN]}
    assert policy["Statement"][1:] == [
        STATEMENT
        | {
            "Sid": "EnclaveImage1KeyId",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Condition": {
                "StringEqualsIgnoreCase": PCRS,
                "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["key_id"]},
                "Null": {"kms:EncryptionContext:key_id": "false"},
            },
        },
        {
            "Sid": "DenyWithoutRecipient",
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": "*",
            "Condition": {"Null": {"kms:RecipientAttestation:ImageSha384": "true"}},
        },
        STATEMENT | {"Sid": "DenyToTheRole", "Effect": "Deny", "Action": FORBIDDEN},
    ]


def test_the_reference_scheme_adds_two_weaker_ways_and_one_wall() -> None:
    policy = made(context_keys=["user_id"], kms_encrypt_v0=True)
    by_sid = {statement["Sid"]: statement for statement in policy["Statement"]}
    no_context = {"Null": {"kms:EncryptionContextKeys": "true"}}
    assert by_sid["EnclaveImage1NoContext"] == STATEMENT | {
        "Sid": "EnclaveImage1NoContext",
        "Action": ["kms:Decrypt"],
        "Condition": {"StringEqualsIgnoreCase": PCRS, **no_context},
    }
    assert by_sid["EncryptForKmsEncryptV0"] == STATEMENT | {
        "Sid": "EncryptForKmsEncryptV0",
        "Action": ["kms:Encrypt"],
        "Condition": no_context,
    }
    assert by_sid["DenyEncryptInContext"]["Condition"] == {"Null": {"kms:EncryptionContextKeys": "false"}}
    assert by_sid["DenyToTheRole"]["Action"] == [action for action in FORBIDDEN if action != "kms:Encrypt"]


def test_a_data_key_can_never_be_minted_by_encrypt() -> None:
    policy = made(context_keys=["key_id", "user_id"], kms_encrypt_v0=True)
    assert ask(policy, "kms:Encrypt").allowed
    for context in ({"key_id": "k"}, {"user_id": "u"}, {"any": "thing"}):
        assert ask(policy, "kms:Encrypt", context=context).explicit_deny
        assert ask(policy, "kms:Encrypt", IMAGE, context=context).explicit_deny


def test_sids_are_what_aws_takes_and_none_stands_twice() -> None:
    policy = made(images=[IMAGE, SIGNED], context_keys=["key_id", "user_id"], kms_encrypt_v0=True)
    sids = [statement["Sid"] for statement in policy["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch(r"[A-Za-z0-9]+", sid) for sid in sids)
    assert {"EnclaveImage1KeyId", "EnclaveImage1UserId", "EnclaveImage2NoContext"} <= set(sids)


def test_another_partition_keeps_its_own_administrators() -> None:
    role = f"arn:aws-us-gov:iam::{ACCOUNT}:role/enclave"
    policy = made(enclave_role=role)
    assert policy["Statement"][0]["Principal"] == {"AWS": [f"arn:aws-us-gov:iam::{ACCOUNT}:root"]}
    assert ask(policy, "kms:Decrypt", IMAGE, role).allowed


@pytest.mark.parametrize("action", [action.replace("*", "From") for action in FORBIDDEN])
def test_the_role_can_never_open_the_key_further(action: str) -> None:
    for principal in (ROLE, SESSION):
        for pcrs in (None, IMAGE):
            assert ask(made(), action, pcrs, principal, {"key_id": "k"}).explicit_deny


def test_administrators_manage_and_do_not_use() -> None:
    policy = made(administrators=[ADMIN], kms_encrypt_v0=True)
    assert ask(policy, "kms:PutKeyPolicy", None, ADMIN).statement_id == "Administration"
    for action in ("kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:CreateGrant"):
        assert not ask(policy, action, IMAGE, ADMIN).allowed


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
        {"enclave_role": ROOT},
        {"enclave_role": ACCOUNT},
        {"enclave_role": SESSION},
        {"enclave_role": f"arn:aws:iam::{ACCOUNT}:role/*"},
        {"enclave_role": f"arn:aws:iam::{ACCOUNT}:role/a\nb"},
        {"administrators": ["*"]},
        {"administrators": [ROLE]},
        {"administrators": [ACCOUNT]},
        {"context_keys": [""]},
        {"context_keys": ["a*"]},
        {"context_keys": ["key_id", "key_id"]},
    ],
)
def test_a_policy_that_would_open_to_more_is_not_built(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        made(**changes)


_registers = st.fixed_dictionaries(
    {index: st.sampled_from([IMAGE[index], OTHER[index], b"\x01" * 48, bytes(48)]) for index in (0, 1, 2)},
    optional={8: st.sampled_from([SIGNED[8], b"\x01" * 48]), 3: st.just(b"\x03" * 48)},
)
_contexts = st.dictionaries(
    st.sampled_from(["key_id", "user_id", "Key_id", "x"]), st.text(max_size=3), max_size=3
)
_actions = st.sampled_from(
    ["kms:Decrypt", "kms:GenerateDataKey", "kms:Encrypt", "kms:ReEncryptTo", "kms:Sign"]
)
_callers = st.sampled_from([ROLE, SESSION, ADMIN, ROOT, f"arn:aws:iam::{ACCOUNT}:role/other"])


@given(
    pcrs=st.none() | _registers,
    context=_contexts,
    action=_actions,
    caller=_callers,
    keys=st.lists(st.sampled_from(["key_id", "user_id"]), min_size=1, unique=True),
    v0=st.booleans(),
)
def test_every_call_is_decided_as_one_sentence_says(
    pcrs: Mapping[int, bytes] | None,
    context: dict[str, str],
    action: str,
    caller: str,
    keys: list[str],
    v0: bool,
) -> None:
    """The role, attested as one whole image, in exactly one of the contexts; for v0 also in none."""
    images = [IMAGE, OTHER | {8: SIGNED[8]}]
    ours = caller in (ROLE, SESSION)
    attested = pcrs is not None and any(pcrs.items() >= image.items() for image in images)
    if action == "kms:Encrypt":
        expected = ours and v0 and not context
    elif action in ("kms:Decrypt", "kms:GenerateDataKey"):
        right = [*context] in [[key] for key in keys] or (v0 and not context and action == "kms:Decrypt")
        expected = ours and attested and right
    else:
        expected = False
    policy = made(images=images, context_keys=keys, kms_encrypt_v0=v0, administrators=[ADMIN])
    assert ask(policy, action, None if pcrs is None else dict(pcrs), caller, context).allowed is expected
