"""A ciphertext to try Decrypt with: what KMS gave for a throw-away key, and its encryption context.

In a file it is JSON, `{"kms_key_arn": ..., "ciphertext": BASE64, "context": {...}}`, as happy-path writes it;
any other file is taken for a ciphertext without a context.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli import asking
from signatory.errors import MalformedError
from signatory.files import replace_durably
from signatory.nitro import sealed
from signatory.nitro.kms import MAX_CIPHERTEXT, Arn
from signatory.nitro.sealed import Scheme
from signatory.nitro.texts import base64_of, json_object
from vaults.nitro.storage.record import SealedKey


@dataclass(frozen=True, slots=True)
class Probe:
    """`key` is the KMS key that made it, None where that is not known."""

    ciphertext: bytes
    context: Mapping[str, str]
    key: Arn | None = None


def read(path: Path) -> Probe:
    """Raises ConfigError, and MalformedError that names the field."""
    data = asking.read_file(path, "the ciphertext")
    if data[:1] != b"{":
        return _checked(Probe(data, {}))
    try:
        found = json_object(data)
        ciphertext = base64_of(found.get("ciphertext"), "ciphertext")
        key = found.get("kms_key_arn")
        return _checked(
            Probe(
                ciphertext, _context(found.get("context", {})), None if key is None else Arn.parse(str(key))
            )
        )
    except MalformedError as error:
        raise MalformedError(f"{path}: {error.message}", hint=error.hint) from None


def write(path: Path, probe: Probe) -> None:
    """Raises UnavailableError."""
    found: dict[str, Any] = {} if probe.key is None else {"kms_key_arn": str(probe.key)}
    found |= {
        "ciphertext": base64.b64encode(probe.ciphertext).decode(),
        "context": dict(probe.context),
    }
    replace_durably(path, json.dumps(found, indent=2).encode() + b"\n")


def of_key(key: SealedKey) -> Probe:
    """What KMS would be given to open this key. Raises MalformedError."""
    if key.scheme is Scheme.KMS_ENCRYPT:
        return Probe(key.blob, {})
    record = sealed.decode(key.blob)
    return Probe(record.wrapped, record.context, record.kms_key)


def _context(value: Any) -> Mapping[str, str]:
    if isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
        return value
    raise MalformedError("context: an object of texts was expected")


def _checked(probe: Probe) -> Probe:
    if not 1 <= len(probe.ciphertext) <= MAX_CIPHERTEXT:
        raise MalformedError(f"a ciphertext of KMS has 1 to {MAX_CIPHERTEXT} bytes")
    return probe
