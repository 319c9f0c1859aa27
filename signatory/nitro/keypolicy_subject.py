"""Whom a key policy is about: the enclave's role, its images, its contexts, as the policy itself says."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signatory.errors import ConfigError
from signatory.nitro.keypolicy_build import PRODUCT_CONTEXTS
from signatory.nitro.keypolicy_conditions import wild
from signatory.nitro.keypolicy_names import CONTEXT_KEYS, IMAGE_KEY, PCR_KEY, RECIPIENT_ACTIONS
from signatory.nitro.keypolicy_statements import Statement, parse

_ROLE = re.compile(r"arn:(aws[a-z-]*):iam::([0-9]{12}):(role|user)/([\w+=,.@/-]*[\w+=,.@-])", re.ASCII)
_VALUE = re.compile(r"[0-9A-Fa-f]{96}")
_IMAGE = (0, 1, 2)
_HINT = "name the images by --manifest FILE or --pcr N=HEX"


@dataclass(frozen=True, slots=True)
class Subject:
    """Who must be let in, and how; everybody and everything else must be kept out.

    `role` is the ARN of a role or user; `images` are registers of 48 bytes, at least PCR0 to PCR2;
    `context_keys` is not empty. Where `kms_encrypt_v0`, Encrypt and Decrypt without a context are let in too.
    """

    role: str
    images: tuple[Mapping[int, bytes], ...]
    context_keys: tuple[str, ...] = ("key_id",)
    kms_encrypt_v0: bool = False
    key: str | None = None
    """The key's ARN, where it is known."""

    def __post_init__(self) -> None:
        if not _ROLE.fullmatch(self.role):
            raise ConfigError(f"{self.role[:128]!r} is not the ARN of a role or user")
        if not self.images or not self.context_keys:
            raise ConfigError("a simulation needs an image and a key of the encryption context")

    @property
    def partition(self) -> str:
        return self.role.split(":")[1]

    @property
    def account(self) -> str:
        return self.role.split(":")[4]

    def caller(self, role: str) -> str:
        """Who calls with this role: a session of it. A user calls as itself."""
        found = _ROLE.fullmatch(role)
        if found is None or found[3] == "user":
            return role
        return f"arn:{found[1]}:sts::{found[2]}:assumed-role/{found[4].rpartition('/')[2]}/simulated"


def role_of(policy: Any) -> str:
    """The one principal that the policy lets open its key. Raises ConfigError where it is not one role."""
    named = {name for statement in _opening(policy) for name in statement.principals}
    if len(named) == 1 and _ROLE.fullmatch(found := named.pop()):
        return found
    raise ConfigError(
        "the policy does not let exactly one role open the key", hint="name the enclave's role by --role ARN"
    )


def images_of(policy: Any) -> tuple[Mapping[int, bytes], ...]:
    """The images that the policy's conditions name, in their order.

    A register of PCR0 to PCR2 that the policy does not ask for gets a value here, so that it shows when
    another value passes too. Raises ConfigError where no image is named.
    """
    found: list[Mapping[int, bytes]] = []
    for statement in _opening(policy):
        registers = _registers(statement.condition)
        if registers:
            image = {index: _any_value(index) for index in _IMAGE} | registers
            if image not in found:
                found.append(image)
    if not found:
        raise ConfigError(
            "the policy names no image", hint="name the images by --manifest FILE or --pcr N=HEX"
        )
    return tuple(found)


def context_keys_of(policy: Any) -> tuple[str, ...]:
    """The keys that the policy binds the encryption context to, of those that we write; key_id where none."""
    bound: set[str] = set()
    for statement in _opening(policy):
        for operator, key, values in _lines(statement.condition):
            if operator == "ForAllValues:StringEquals" and key == CONTEXT_KEYS.lower() and len(values) == 1:
                bound.update(values)
    return tuple(name for name in PRODUCT_CONTEXTS if name in bound) or ("key_id",)


def _opening(policy: Any) -> Iterator[Statement]:
    """The statements that allow Decrypt or GenerateDataKey under some condition."""
    for statement in parse(policy):
        named = any(
            wild(pattern.lower(), action.lower())
            for pattern in statement.actions
            for action in RECIPIENT_ACTIONS
        )
        if statement.allows and named and not statement.not_actions and statement.condition:
            yield statement


def _registers(condition: Mapping[str, Any]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for operator, key, values in _lines(condition):
        if operator not in {"StringEquals", "StringEqualsIgnoreCase"}:
            continue
        name = key.removeprefix(PCR_KEY.lower())
        index = 0 if key == IMAGE_KEY.lower() else int(name) if re.fullmatch(r"[0-9]{1,2}", name) else None
        if index is None:
            continue
        if len(values) != 1 or not _VALUE.fullmatch(values[0]):
            raise ConfigError(
                f"a statement of the policy gives {key} not exactly one value of 48 bytes",
                hint=_HINT,
            )
        found.setdefault(index, bytes.fromhex(values[0]))
    return found


def _lines(condition: Mapping[str, Any]) -> Iterator[tuple[str, str, Sequence[str]]]:
    for operator, inner in condition.items():
        for key, wanted in inner.items() if isinstance(inner, Mapping) else ():
            values = wanted if isinstance(wanted, list) else [wanted]
            yield str(operator), str(key).lower(), [str(value) for value in values]


def _any_value(index: int) -> bytes:
    return hashlib.sha384(f"some PCR{index}".encode()).digest()
