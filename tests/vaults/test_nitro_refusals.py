"""What the words of an enclave mean to the operator."""

import pytest

from signatory.errors import DeniedError, IntegrityError, SignatoryError, UnavailableError
from signatory.rpc.messages import RemoteError
from vaults.nitro.refusals import ExpiredError, explain

SERVICE = ("encryption error", "SDK error", "service error")
ROLE = "arn:aws:iam::111122223333:role/signer"

MEANT: dict[str, tuple[tuple[str, ...], type[SignatoryError], str]] = {
    "late": (("deadline", "the call's time is over"), UnavailableError, "sent again"),
    "cancelled": (("cancelled",), UnavailableError, "sent again"),
    "too many": (("too many calls are under way",), UnavailableError, "sent again"),
    "no right to a data key": (
        (*SERVICE, f"AccessDeniedException: User: {ROLE} is not authorized to perform: kms:GenerateDataKey"),
        DeniedError,
        "allow kms:GenerateDataKey in the KMS key's policy",
    ),
    "no right to a data key, and the switch": (
        (*SERVICE, "AccessDeniedException: no", "GenerateDataKey"),
        DeniedError,
        "`sealing: kms-encrypt-v0`",
    ),
    "no right to decrypt": (
        (*SERVICE, "AccessDeniedException: not authorized to perform: kms:Decrypt"),
        DeniedError,
        "kms:RecipientAttestation",
    ),
    "expired": ((*SERVICE, "ExpiredTokenException: over"), ExpiredError, "expired"),
    "an unlisted scheme": (
        ("its measured settings do not list it under `schemes`",),
        UnavailableError,
        "`sealing:`",
    ),
    "a record of another key": (
        ("encryption error", "substitution: the sealed record is of another key (version)"),
        IntegrityError,
        "restore",
    ),
    "a record that was changed": (
        ("deserialization error", "the sealed record does not open"),
        IntegrityError,
        "restore",
    ),
    "a relay": (
        ("encryption error", "this was not sealed to the key of this connection, for this use"),
        IntegrityError,
        "stands between",
    ),
    "no reference protocol": (
        ("this enclave serves the extended protocol only; the first frame must be Hello",),
        UnavailableError,
        "`enclave_protocol: extended`",
    ),
    "an unknown call": (("unknown variant `Checkpoint`, expected one of",), UnavailableError, "newer"),
}


@pytest.mark.parametrize(("chain", "family", "hint"), MEANT.values(), ids=MEANT)
def test_a_refusal_has_a_family_the_enclave_s_words_and_what_to_do(
    chain: tuple[str, ...], family: type[SignatoryError], hint: str
) -> None:
    found = explain("the enclave refuses", RemoteError(chain))
    assert type(found) is family
    assert found.message == f"the enclave refuses: {': '.join(chain)}"
    assert hint in (found.hint or "")


def test_a_decrypt_that_is_denied_does_not_point_to_data_keys() -> None:
    chain = (*SERVICE, "AccessDeniedException: not authorized to perform: kms:Decrypt")
    assert "GenerateDataKey" not in (explain("x", RemoteError(chain)).hint or "")


@pytest.mark.parametrize("action", ["GenerateDataKey", "Decrypt"])
def test_a_denial_may_be_by_the_encryption_context(action: str) -> None:
    hint = explain("x", RemoteError((*SERVICE, f"AccessDeniedException: {ROLE}: kms:{action}"))).hint or ""
    assert "encryption context of the call too: {user_id} for a tenant's key, {key_id} otherwise" in hint
    assert "kms-policy build --context-keys key_id,user_id" in hint


def test_words_that_mean_nothing_to_us_are_unavailable_without_a_hint() -> None:
    found = explain("x", RemoteError(("signer error", "invalid handle 7", "deadline")))
    assert type(found) is UnavailableError
    assert found.hint is None
