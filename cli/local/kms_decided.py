"""Operations that the KMS emulator decides by the key's policy and then does not do.

They are here so that a forbidden call is met by the same AccessDeniedException as at AWS.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from signatory.errors import MalformedError
from signatory.nitro import kms_json

_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "CreateGrant": ("kms:CreateGrant",),
    "GenerateDataKeyPair": ("kms:GenerateDataKeyPair",),
    "GenerateDataKeyPairWithoutPlaintext": ("kms:GenerateDataKeyPairWithoutPlaintext",),
    "GenerateDataKeyWithoutPlaintext": ("kms:GenerateDataKeyWithoutPlaintext",),
    "PutKeyPolicy": ("kms:PutKeyPolicy",),
    "ReEncrypt": ("kms:ReEncryptFrom", "kms:ReEncryptTo"),
    "ScheduleKeyDeletion": ("kms:ScheduleKeyDeletion",),
}
_KEY = {"ReEncrypt": "SourceKeyId"}
_CONTEXT = {"ReEncrypt": "SourceEncryptionContext"}


@dataclass(frozen=True, slots=True)
class Decided:
    """Such a call. Of ReEncrypt the source's key and context count, for both of its actions."""

    actions: tuple[str, ...]
    key_id: str
    context: Mapping[str, str]


def knows(operation: str) -> bool:
    return operation in _ACTIONS


def read(operation: str, body: bytes) -> Decided:
    """A call of an operation that is known here. Raises MalformedError."""
    members, name = kms_json.decode(body), _KEY.get(operation, "KeyId")
    key_id = members.text(name)
    if key_id is None:
        raise MalformedError(f"{name} is missing")
    return Decided(_ACTIONS[operation], key_id, members.texts(_CONTEXT.get(operation, "EncryptionContext")))
