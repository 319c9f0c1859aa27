"""The emulators' state on disk: JSON and raw files of mode 0600 in folders of mode 0700."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from signatory.errors import ConfigError
from signatory.files import replace_durably

MAX_FILE = 1 << 20
"""Bytes of a state file that are read at most."""


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace the file whole. Raises UnavailableError."""
    replace_durably(path, json.dumps(value, indent=2).encode() + b"\n")


def read_bytes(path: Path) -> bytes:
    """The file. Raises ConfigError naming it when it is absent, unreadable or above MAX_FILE."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_FILE:
        raise ConfigError(f"{path} is larger than {MAX_FILE} bytes")
    return data


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file. Raises ConfigError naming the file."""
    try:
        value = json.loads(read_bytes(path))
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is not JSON") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path} does not hold a JSON object")
    return value


def text(value: Mapping[str, Any], name: str) -> str:
    """The non-empty text field `name`. Raises ConfigError."""
    found = value.get(name)
    if not isinstance(found, str) or not found:
        raise ConfigError(f"the field {name} is not a text")
    return found
