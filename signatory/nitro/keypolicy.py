"""Key policies of KMS: written for an enclave (`build`), and decided offline as KMS decides (`evaluate`).

One engine for emulator and tools. What it does not know it never reads in anybody's favour: an unknown
operator or policy variable keeps an Allow from matching and lets a Deny match. Sources: IAM User Guide,
"Policy evaluation logic"; KMS Developer Guide, "Condition keys for Nitro Enclaves".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signatory.errors import ConfigError, MalformedError
from signatory.nitro.keypolicy_conditions import Context, holds, wild

IMAGE_KEY = "kms:RecipientAttestation:ImageSha384"
"""Equal to PCR0."""

_PCR_KEY = "kms:RecipientAttestation:PCR"
_CONTEXT_KEY = "kms:EncryptionContext:"
_CONTEXT_KEYS = "kms:EncryptionContextKeys"

RECIPIENT_ACTIONS = ("kms:Decrypt", "kms:GenerateDataKey")
"""What an enclave does with its key under attestation. GenerateRandom uses no key."""

_ADMIN_ACTIONS = (
    "kms:CancelKeyDeletion",
    "kms:Describe*",
    "kms:Disable*",
    "kms:Enable*",
    "kms:Get*",
    "kms:List*",
    "kms:PutKeyPolicy",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateKeyDescription",
)
_NEVER_FOR_THE_ROLE = (
    "kms:CreateGrant",
    "kms:GenerateDataKeyPair*",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:PutKeyPolicy",
    "kms:ReEncrypt*",
)
_ACCOUNT = re.compile(r"[0-9]{12}")
_ROOT = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):root")
_ASSUMED = re.compile(r"arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role/([^/]+)/[^/]+")
_ELEMENTS = frozenset(
    {"Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`statement_id` is the Sid (or `#n`, counted from 0) that decided, None where nothing matched."""

    allowed: bool
    statement_id: str | None
    reason: str
    """When refused, worded as AWS words it."""
    explicit_deny: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, its elements as lists."""

    sid: str
    allows: bool
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    not_actions: bool
    resources: tuple[str, ...]
    not_resources: bool
    condition: Mapping[str, Any]


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

    `images` are registers: PCR0, PCR1 and PCR2, and PCR8 of a signed image, 48 bytes each; every image has a
    statement of its own, so that no mixture of two passes. `administrators` are ARNs, the account by default;
    they manage the key and cannot use it. `context_keys` must then be in every encryption context, and no
    others. `kms_encrypt_v0` lets the role call Encrypt, which no attestation guards.

    Raises ConfigError for an account, a role or registers that would open the key further.
    """
    if not _ACCOUNT.fullmatch(account):
        raise ConfigError(f"{account[:32]!r} is not an AWS account: 12 digits")
    if not enclave_role.startswith("arn:") or "*" in enclave_role:
        raise ConfigError("the enclave's role must be one ARN")
    if not images:
        raise ConfigError("the list of allowed images is empty", hint="name PCR0, PCR1 and PCR2 of an image")
    admins = list(administrators) or [f"arn:aws:iam::{account}:root"]
    role = {"AWS": enclave_role}
    forbidden = sorted((*_NEVER_FOR_THE_ROLE, *(() if kms_encrypt_v0 else ("kms:Encrypt",))))
    statements = [
        _statement("Administration", "Allow", {"AWS": admins}, _ADMIN_ACTIONS),
        *(
            _statement(f"EnclaveImage{number}", "Allow", role, RECIPIENT_ACTIONS, _image(image, context_keys))
            for number, image in enumerate(images, 1)
        ),
        *([_statement("EncryptForKmsEncryptV0", "Allow", role, ["kms:Encrypt"])] if kms_encrypt_v0 else []),
        _statement("DenyWithoutRecipient", "Deny", "*", RECIPIENT_ACTIONS, {"Null": {IMAGE_KEY: "true"}}),
        _statement("DenyToTheRole", "Deny", role, forbidden),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def context_of(
    pcrs: Mapping[int, bytes] | None, encryption_context: Mapping[str, str]
) -> dict[str, str | Sequence[str]]:
    """The condition keys of one call, from its recipient's verified registers (if any) and its context.

    Zero registers give no key: a debug enclave cannot meet a condition, not even one written with zeros.
    """
    set_pcrs = {index: value.hex() for index, value in (pcrs or {}).items() if any(value)}
    keys: dict[str, str | Sequence[str]] = {f"{_PCR_KEY}{index}": value for index, value in set_pcrs.items()}
    if 0 in set_pcrs:
        keys[IMAGE_KEY] = set_pcrs[0]
    keys |= {f"{_CONTEXT_KEY}{name}": value for name, value in encryption_context.items()}
    if encryption_context:
        keys[_CONTEXT_KEYS] = tuple(encryption_context)
    return keys


def parse(policy: Any) -> tuple[Statement, ...]:
    """The statements of a policy document. Raises MalformedError that names the statement and the element."""
    if not isinstance(policy, Mapping) or not isinstance(policy.get("Statement"), list | dict):
        raise MalformedError("key policy: an object with Statement was expected")
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    return tuple(_parse_statement(f"#{index}", statement) for index, statement in enumerate(statements))


def evaluate(policy: Any, action: str, principal: str, context: Context, *, resource: str = "*") -> Verdict:
    """Whether this policy lets `principal` (an ARN) do `action`: a deny wins, what is not allowed is denied.

    The principal's own IAM policies are taken to allow nothing, as in an account that leaves all to the key
    policy: the account's root as principal of an Allow opens to root alone, of a Deny it closes for everybody
    in the account. Raises MalformedError for a policy that cannot be read.
    """
    statements = parse(policy)
    matching = [each for each in statements if _matches(each, action, principal, context, resource)]
    refusal = f"User: {principal} is not authorized to perform: {action} on resource: {resource}"
    for each in matching:
        if not each.allows:
            return Verdict(
                False, each.sid, f"{refusal} with an explicit deny in a resource-based policy", True
            )
    for each in matching:
        return Verdict(True, each.sid, f"allowed by statement {each.sid}")
    return Verdict(False, None, f"{refusal} because no resource-based policy allows the {action} action")


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


def _image(image: Mapping[int, bytes], context_keys: Sequence[str]) -> dict[str, Any]:
    if not {0, 1, 2} <= set(image) or not set(image) <= set(range(32)):
        raise ConfigError("an image is named by PCR0, PCR1 and PCR2, and PCR8 when it is signed")
    for index, value in image.items():
        if len(value) != 48 or not any(value):
            raise ConfigError(f"PCR{index}: 48 bytes, not all zero, were expected")
    pcrs = {IMAGE_KEY: image[0].hex()} | {f"{_PCR_KEY}{index}": image[index].hex() for index in sorted(image)}
    if not context_keys:
        return {"StringEqualsIgnoreCase": pcrs}
    return {
        "StringEqualsIgnoreCase": pcrs,
        "ForAllValues:StringEquals": {_CONTEXT_KEYS: list(context_keys)},
        "Null": {f"{_CONTEXT_KEY}{key}": "false" for key in context_keys},
    }


def _parse_statement(place: str, statement: Any) -> Statement:
    if not isinstance(statement, Mapping):
        raise MalformedError(f"key policy: statement {place} is not an object")
    sid = statement.get("Sid") or place
    unknown = sorted(str(name) for name in set(statement) - _ELEMENTS)
    if not isinstance(sid, str) or unknown:
        raise MalformedError(f"key policy: statement {place}: {(unknown or ['Sid'])[0]!r} is not understood")
    if (effect := statement.get("Effect")) not in ("Allow", "Deny"):
        raise MalformedError(f"key policy: statement {place}: Effect must be Allow or Deny")
    condition = statement.get("Condition", {})
    if not isinstance(condition, Mapping):
        raise MalformedError(f"key policy: statement {place}: Condition must be an object")
    return Statement(
        sid=sid,
        allows=effect == "Allow",
        principals=_principals(place, statement.get("Principal")),
        actions=_one_of(place, statement, "Action"),
        not_actions="NotAction" in statement,
        resources=_one_of(place, statement, "Resource"),
        not_resources="NotResource" in statement,
        condition=condition,
    )


def _one_of(place: str, statement: Mapping[str, Any], name: str) -> tuple[str, ...]:
    given = [statement[each] for each in (name, f"Not{name}") if each in statement]
    if len(given) != 1:
        raise MalformedError(
            f"key policy: statement {place}: exactly one of {name} and Not{name} was expected"
        )
    return _texts(place, name, given[0])


def _principals(place: str, principal: Any) -> tuple[str, ...]:
    if isinstance(principal, Mapping):
        # Services and federations are nobody who calls us.
        known = set(principal) <= {"AWS", "Service", "Federated", "CanonicalUser"}
        if not principal or not known:
            raise MalformedError(f"key policy: statement {place}: Principal is not understood")
        return _texts(place, "Principal", principal["AWS"]) if "AWS" in principal else ()
    if principal != "*":
        raise MalformedError(f'key policy: statement {place}: Principal must be "*" or an object')
    return ("*",)


def _texts(place: str, name: str, value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, str) for item in values):
        raise MalformedError(f"key policy: statement {place}: {name} must be a text or a list of texts")
    return tuple(values)


def _matches(statement: Statement, action: str, principal: str, context: Context, resource: str) -> bool:
    actions = any(wild(pattern.lower(), action.lower()) for pattern in statement.actions)
    resources = any(wild(pattern, resource) for pattern in statement.resources)
    if actions == statement.not_actions or resources == statement.not_resources:
        return False
    if not any(_is(named, principal, allows=statement.allows) for named in statement.principals):
        return False
    met = holds(statement.condition, context)
    return (not statement.allows) if met is None else met


def _is(named: str, principal: str, *, allows: bool) -> bool:
    """Whether the principal a policy names is this caller, or the role of this caller's session."""
    if named in ("*", principal):
        return True
    root = _ROOT.fullmatch(named)
    if root or _ACCOUNT.fullmatch(named):
        account = root[1] if root else named
        inside = principal.split(":")[4:5] == [account]
        return inside and (not allows or _ROOT.fullmatch(principal) is not None)
    session = _ASSUMED.fullmatch(principal)
    if session is None:
        return False
    role, _, path_and_name = named.rpartition(f"arn:{session[1]}:iam::{session[2]}:role/")
    return role == "" and path_and_name != named and path_and_name.rpartition("/")[2] == session[3]
