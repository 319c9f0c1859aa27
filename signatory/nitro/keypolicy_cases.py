"""The calls by which a key policy is judged: those an enclave needs, and those that would betray its keys."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from signatory.nitro.keypolicy import context_of
from signatory.nitro.keypolicy_conditions import Context, wild
from signatory.nitro.keypolicy_names import ACTIONS, IMAGE_KEY, NEVER_FOR_THE_ROLE, PCR_KEY, RECIPIENT_ACTIONS
from signatory.nitro.keypolicy_subject import Subject

_DEPLOYMENT = (3, 4)
"""Registers of the parent's role and instance: set in every document, and no part of an image."""

_SIGNER = 8
_OTHER = hashlib.sha384(b"some other image").digest()
_ZERO = bytes(48)

_FOR_STRANGERS = (
    "kms:Encrypt",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:CreateGrant",
)

_DENIED_TO_THE_ROLE = frozenset(
    {
        "kms:CreateGrant",
        "kms:Encrypt",
        "kms:GenerateDataKeyPair",
        "kms:GenerateDataKeyPairWithoutPlaintext",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:PutKeyPolicy",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    }
)

Pcrs = Mapping[int, bytes]


class Due(Enum):
    """What must come of a call."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    DENIED = "denied"
    """Refused by an explicit deny, which neither grants nor IAM policies get past."""


@dataclass(frozen=True, slots=True)
class Case:
    """One call. `contexts` are the forms it may have, by their condition keys: all must come out alike."""

    action: str
    caller: str
    """Who calls, in words."""
    principal: str
    situation: str
    """What is special about the call, in words."""
    contexts: tuple[Context, ...]
    untold: tuple[str, ...]
    """Condition keys that the call may have beside those."""
    due: Due


@dataclass(frozen=True, slots=True)
class _Caller:
    words: str
    principal: str
    role: str

    def case(
        self,
        action: str,
        situation: str,
        *calls: tuple[Pcrs | None, Mapping[str, str]],
        due: Due = Due.REFUSED,
    ) -> Case:
        """A call with these registers (None: no Recipient) in this encryption context, or one of several."""
        contexts = tuple(keys for pcrs, context in calls for keys in _keys(self.role, pcrs, context))
        given = {index for pcrs, _ in calls for index in pcrs or {}}
        attested = any(pcrs is not None for pcrs, _ in calls)
        untold = tuple(f"{PCR_KEY}{index}" for index in _DEPLOYMENT if attested and index not in given)
        return Case(action, self.words, self.principal, situation, contexts, untold, due)


def cases(subject: Subject) -> Iterator[Case]:
    """All of them, in the order in which they are shown: what must be allowed first."""
    role = _Caller("the enclave's role", subject.caller(subject.role), subject.role)
    strangers = list(_strangers(subject))
    usual = {subject.context_keys[0]: "simulated"}
    yield from _needed(subject, role)
    for caller in (role, *strangers):
        yield from _without_recipient(subject, caller)
    for number, image in enumerate(subject.images, 1):
        for action in RECIPIENT_ACTIONS:
            yield from _other_registers(role, action, number, image, usual)
            yield from _other_contexts(subject, role, action, number, image)
            for caller in strangers:
                yield caller.case(action, f"attested by image {number}", (image, usual))
    for action in RECIPIENT_ACTIONS:
        yield from _mixtures(subject, role, action, usual)
    yield from _other_actions(subject, role, usual)
    for caller in strangers:
        for action in _FOR_STRANGERS:
            yield caller.case(action, "", (None, {}), (None, usual))
    other_account = strangers[-1]
    yield other_account.case("kms:PutKeyPolicy", "", (None, {}))


def _strangers(subject: Subject) -> Iterator[_Caller]:
    head = f"arn:{subject.partition}:iam::"
    gateway = f"{head}{subject.account}:role/simulated-gateway"
    yield _Caller("another role of the account", subject.caller(gateway), gateway)
    root = f"{head}{subject.account}:root"
    yield _Caller("the account's root", root, root)
    account = "999999999999" if subject.account != "999999999999" else "888888888888"
    foreign = subject.role.replace(f"::{subject.account}:", f"::{account}:", 1)
    yield _Caller("the same role of another account", subject.caller(foreign), foreign)


def _needed(subject: Subject, role: _Caller) -> Iterator[Case]:
    for number, image in enumerate(subject.images, 1):
        for action in RECIPIENT_ACTIONS:
            for name in subject.context_keys:
                words = f"attested by image {number}, context {{{name}}}"
                yield role.case(action, words, (image, {name: "simulated"}), due=Due.ALLOWED)
        if subject.kms_encrypt_v0:
            words = f"attested by image {number}, no context (kms-encrypt-v0)"
            yield role.case("kms:Decrypt", words, (image, {}), due=Due.ALLOWED)
    if subject.kms_encrypt_v0:
        yield role.case("kms:Encrypt", "no context (kms-encrypt-v0)", (None, {}), due=Due.ALLOWED)


def _without_recipient(subject: Subject, caller: _Caller) -> Iterator[Case]:
    for action in RECIPIENT_ACTIONS:
        forms = [{name: "simulated"} for name in subject.context_keys]
        calls = ((None, context) for context in ({}, *forms))
        yield caller.case(action, "no Recipient", *calls, due=Due.DENIED)


def _other_registers(
    role: _Caller, action: str, number: int, image: Pcrs, context: Mapping[str, str]
) -> Iterator[Case]:
    for index in sorted(set(image) & {0, 1, 2, _SIGNER}):
        words = f"image {number} with another PCR{index}"
        yield role.case(action, words, (dict(image) | {index: _OTHER}, context))
    if _SIGNER in image:
        yield role.case(action, f"image {number} unsigned (PCR8)", (dict(image) | {_SIGNER: _ZERO}, context))
    debug = dict(image) | dict.fromkeys({0, 1, 2, _SIGNER}, _ZERO)
    yield role.case(action, f"image {number} in debug mode (zero PCRs)", (debug, context))


def _other_contexts(subject: Subject, role: _Caller, action: str, number: int, image: Pcrs) -> Iterator[Case]:
    name = subject.context_keys[0]
    forms: list[tuple[str, dict[str, str]]] = [
        ("another context key", {"another": "simulated"}),
        (f"context key {name.upper()}", {name.upper(): "simulated"}),
        (f"an extra context key beside {name}", {name: "simulated", "another": "simulated"}),
    ]
    forms += [(f"context {{{each}}}", {each: "simulated"}) for each in ("key_id", "user_id")]
    forms.append(("context {key_id, user_id}", {"key_id": "simulated", "user_id": "simulated"}))
    if not (subject.kms_encrypt_v0 and action == "kms:Decrypt"):
        forms.append(("no context", {}))
    for words, context in forms:
        if set(context) not in [{each} for each in subject.context_keys]:
            yield role.case(action, f"attested by image {number}, {words}", (image, context))


def _mixtures(subject: Subject, role: _Caller, action: str, context: Mapping[str, str]) -> Iterator[Case]:
    """Registers of one image with one of another: allowed by policies that list values side by side."""
    for number, image in enumerate(subject.images, 1):
        for other_number, other in enumerate(subject.images, 1):
            for index in sorted(set(other) & set(image) & {0, 1, 2, _SIGNER}):
                mixed = dict(image) | {index: other[index]}
                if mixed not in [dict(each) for each in subject.images]:
                    words = f"image {number} with PCR{index} of image {other_number}"
                    yield role.case(action, words, (mixed, context))


def _other_actions(subject: Subject, role: _Caller, context: Mapping[str, str]) -> Iterator[Case]:
    """Each with and without what would let the role in elsewhere."""
    image = subject.images[0]
    for action in ACTIONS:
        if not any(wild(pattern, action) for pattern in NEVER_FOR_THE_ROLE):
            continue
        due = Due.DENIED if action in _DENIED_TO_THE_ROLE else Due.REFUSED
        if action == "kms:Encrypt" and subject.kms_encrypt_v0:
            yield role.case(action, "in a context", (None, context), due=due)
        else:
            forms = [(pcrs, given) for pcrs in (None, image) for given in ({}, context)]
            yield role.case(action, "", *forms, due=due)


def _keys(role: str, pcrs: Pcrs | None, context: Mapping[str, str]) -> Iterator[Context]:
    """The condition keys of a call. Whether AWS gives keys for zero registers is not known: both forms."""
    keys = {"aws:PrincipalArn": role, **context_of(pcrs, context)}
    yield keys
    if zeros := [index for index, value in (pcrs or {}).items() if not any(value)]:
        written = {f"{PCR_KEY}{index}": _ZERO.hex() for index in zeros}
        yield keys | written | ({IMAGE_KEY: _ZERO.hex()} if 0 in zeros else {})
