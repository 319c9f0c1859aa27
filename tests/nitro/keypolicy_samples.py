"""An enclave, its role and its images, as the tests of key policies know them."""

from typing import Any

from signatory.nitro import keypolicy

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/enclave"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/enclave/i-0123"
ADMIN = f"arn:aws:iam::{ACCOUNT}:role/admin"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
KEY = f"arn:aws:kms:us-west-2:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
IMAGE = {0: b"\xa0" * 48, 1: b"\xa1" * 48, 2: b"\xa2" * 48}
OTHER = {0: b"\xb0" * 48, 1: b"\xb1" * 48, 2: b"\xb2" * 48}
SIGNED = {0: b"\xc0" * 48, 1: b"\xc1" * 48, 2: b"\xc2" * 48, 8: b"\xc8" * 48}


def made(**changes: Any) -> dict[str, Any]:
    """A policy as it is built for one image."""
    usual: dict[str, Any] = {"account": ACCOUNT, "enclave_role": ROLE, "images": [IMAGE]}
    return keypolicy.build(**(usual | changes))


def ask(
    policy: object,
    action: str,
    pcrs: dict[int, bytes] | None = None,
    principal: str = ROLE,
    context: dict[str, str] | None = None,
    **more: Any,
) -> keypolicy.Verdict:
    keys = keypolicy.context_of(pcrs, context or {})
    return keypolicy.evaluate(policy, action, principal, keys, **({"resource": KEY} | more))


def one(effect: str, **elements: Any) -> dict[str, Any]:
    """A policy of one statement; an element that is None is left out."""
    statement = {"Effect": effect, "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"} | elements
    return {
        "Version": "2012-10-17",
        "Statement": {name: value for name, value in statement.items() if value is not None},
    }
