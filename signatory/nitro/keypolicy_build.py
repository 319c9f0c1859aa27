"""The key policy of an enclave, written: which images may use the key, under which role, in which context.

Sources: KMS Developer Guide, "Condition keys for Nitro Enclaves"; docs/kms-policy.md says what each statement
is for.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from signatory.errors import ConfigError
from signatory.nitro.keypolicy_names import (
    ADMIN_ACTIONS,
    CONTEXT_KEY,
    CONTEXT_KEYS,
    IMAGE_KEY,
    NEVER_FOR_THE_ROLE,
    PCR_KEY,
    RECIPIENT_ACTIONS,
)

PRODUCT_CONTEXTS = ("key_id", "user_id")
"""What our own schemes put into an encryption context: one of them, never both."""

_ACCOUNT = re.compile(r"[0-9]{12}")
_PRINCIPAL = re.compile(r"arn:(aws[a-z-]*):iam::([0-9]{12}):(role/|user/|root)[\w+=,.@/-]*", re.ASCII)
_CONTEXT_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def build(
    *,
    account: str,
    enclave_role: str,
    images: Sequence[Mapping[int, bytes]],
    administrators: Sequence[str] = (),
    context_keys: Sequence[str] = (),
    kms_encrypt_v0: bool = False,
) -> dict[str, Any]:
    """The policy of a key that opens only to these images, used by this role.

    `images` are registers: PCR0, PCR1 and PCR2, and PCR8 of a signed image, 48 bytes each; every image has
    statements of its own, so that no mixture of two passes. `administrators` are ARNs, the account by
    default; they manage the key and cannot use it. Each of `context_keys` is one way to call: the encryption
    context then has exactly that key; without any, the context is not looked at. `kms_encrypt_v0` lets the
    role encrypt without a context, which no attestation guards, and the images decrypt what was sealed so.

    Raises ConfigError for an account, a role or registers that would open the key further.
    """
    _check(account, enclave_role, administrators, context_keys)
    if not images:
        raise ConfigError("the list of allowed images is empty", hint="name PCR0, PCR1 and PCR2 of an image")
    partition = enclave_role.split(":")[1]
    admins = list(administrators) or [f"arn:{partition}:iam::{account}:root"]
    role = {"AWS": enclave_role}
    opens = [
        statement
        for number, image in enumerate(images, 1)
        for statement in _opens(
            f"EnclaveImage{number}", role, _registers(image), context_keys, kms_encrypt_v0
        )
    ]
    without_recipient = {"Null": {IMAGE_KEY: "true"}}
    statements = [
        _statement("Administration", "Allow", {"AWS": admins}, ADMIN_ACTIONS),
        *opens,
        *(_encrypt(role) if kms_encrypt_v0 else ()),
        _statement("DenyWithoutRecipient", "Deny", "*", RECIPIENT_ACTIONS, without_recipient),
        _statement(
            "DenyToTheRole",
            "Deny",
            role,
            [action for action in NEVER_FOR_THE_ROLE if action != "kms:Encrypt" or not kms_encrypt_v0],
        ),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _check(
    account: str, enclave_role: str, administrators: Sequence[str], context_keys: Sequence[str]
) -> None:
    if not _ACCOUNT.fullmatch(account):
        raise ConfigError(f"{account[:32]!r} is not an AWS account: 12 digits")
    role = _PRINCIPAL.fullmatch(enclave_role)
    if role is None or role[3] == "root":
        raise ConfigError(
            f"{enclave_role[:128]!r} is not the enclave's role",
            hint=f"write the ARN of one role, such as arn:aws:iam::{account}:role/enclave",
        )
    for administrator in administrators:
        if not _PRINCIPAL.fullmatch(administrator):
            raise ConfigError(
                f"{administrator[:128]!r} is not the ARN of a role, a user or an account's root"
            )
        if administrator == enclave_role:
            raise ConfigError("the enclave's role cannot administer its own key")
    for name in context_keys:
        if not _CONTEXT_NAME.fullmatch(name):
            raise ConfigError(f"{name[:64]!r} is not a key of an encryption context")
    if len(set(context_keys)) != len(context_keys):
        raise ConfigError("a context key stands twice")


def _registers(image: Mapping[int, bytes]) -> dict[str, Any]:
    """The condition that it is this image."""
    if not {0, 1, 2} <= set(image) or not set(image) <= set(range(32)):
        raise ConfigError("an image is named by PCR0, PCR1 and PCR2, and PCR8 when it is signed")
    for index, value in image.items():
        if len(value) != 48 or not any(value):
            raise ConfigError(f"PCR{index}: 48 bytes, not all zero, were expected")
    pcrs = {IMAGE_KEY: image[0].hex()} | {f"{PCR_KEY}{index}": image[index].hex() for index in sorted(image)}
    return {"StringEqualsIgnoreCase": pcrs}


def _opens(
    sid: str, role: Any, image: dict[str, Any], context_keys: Sequence[str], kms_encrypt_v0: bool
) -> list[dict[str, Any]]:
    """What one image may do: a statement for each context, and one for none at all where v0 is read."""
    if not context_keys:
        return [_statement(sid, "Allow", role, RECIPIENT_ACTIONS, image)]
    made = [
        _statement(f"{sid}{_camel(name)}", "Allow", role, RECIPIENT_ACTIONS, image | _exactly(name))
        for name in context_keys
    ]
    if kms_encrypt_v0:
        no_context: dict[str, Any] = {"Null": {CONTEXT_KEYS: "true"}}
        made.append(_statement(f"{sid}NoContext", "Allow", role, ["kms:Decrypt"], image | no_context))
    return made


def _exactly(name: str) -> dict[str, Any]:
    """That the context has this key and no other: ForAllValues is true of no keys at all, hence Null."""
    return {
        "ForAllValues:StringEquals": {CONTEXT_KEYS: [name]},
        "Null": {f"{CONTEXT_KEY}{name}": "false"},
    }


def _encrypt(role: Any) -> list[dict[str, Any]]:
    """The role encrypts without a context only: what it seals can never stand for a wrapped data key."""
    in_context = {"Null": {CONTEXT_KEYS: "false"}}
    return [
        _statement(
            "EncryptForKmsEncryptV0", "Allow", role, ["kms:Encrypt"], {"Null": {CONTEXT_KEYS: "true"}}
        ),
        _statement("DenyEncryptInContext", "Deny", role, ["kms:Encrypt"], in_context),
    ]


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[_.-]", name))


def _statement(
    sid: str, effect: str, principal: Any, actions: Sequence[str], condition: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    statement = {
        "Sid": sid,
        "Effect": effect,
        "Principal": principal,
        "Action": list(actions),
        "Resource": "*",
    }
    return statement | ({"Condition": dict(condition)} if condition else {})
