"""The `file` driver: secret keys in a file of octez-client's `secret_keys` form, plain or encrypted.

A record that cannot be used is named and left out; the others sign. The file is read again when it changes.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from signatory.crypto.curves import SigningVersion
from signatory.crypto.keypair import KeyPair
from signatory.errors import ConfigError, MalformedError
from signatory.tezos import secrets
from signatory.vault import Call, Readiness, VaultContext, VaultKey
from vaults.held import HeldKeys
from vaults.paths import expand

logger = logging.getLogger(__name__)

_OTHERS = 0o077
_SCHEMES = ("unencrypted", "encrypted")
_HINT = "see `password_file` of this vault"

Stamp = tuple[int, int, int, int]


class FileConfig(BaseModel):
    """The path of the file, alone or as `file`. `password_file` (ours) holds the encrypted keys' password."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    file: str = Field(min_length=1)
    password_file: str | None = Field(default=None, min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _a_path_alone(cls, value: Any) -> Any:
        return {"file": value} if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Content:
    """What the file holds, by the text of each value, so that an encrypted one is unlocked only once."""

    pairs: Mapping[str, KeyPair]
    problems: tuple[str, ...]


class FileVault:
    """Signs and proves with keys that are read from disk and held in memory."""

    Config: ClassVar[type[BaseModel]] = FileConfig
    label = "File"

    def __init__(self, path: Path, password: Callable[[str], str], password_file: Path | None = None) -> None:
        self._path, self._password, self._password_file = path, password, password_file
        self._stamp: Stamp | None = None
        self._content = Content({}, ())
        self._keys = HeldKeys()
        self._reading = asyncio.Lock()

    @classmethod
    async def open(cls, config: FileConfig, context: VaultContext) -> Self:
        """Raises ConfigError for a file that cannot be read, or that has records and no usable one."""
        path = expand(config.file, context.base_dir)
        password, password_file = context.password, None
        if config.password_file is not None:
            password_file = expand(config.password_file, context.base_dir)
            password = _from_file(password_file)
        vault = cls(path, password, password_file)
        await vault._read()
        problems = vault._content.problems
        if problems and not len(vault._keys):
            raise ConfigError(f"{path} holds no key that can be used: {problems[0]}")
        return vault

    async def list(self) -> Sequence[VaultKey]:
        """A file that became unreadable leaves the keys as they were."""
        try:
            await self._read()
        except ConfigError as error:
            self._tell(Content(self._content.pairs, (error.message,)))
        return self._keys.list()

    async def sign(self, key: VaultKey, message: bytes, version: SigningVersion, call: Call) -> bytes:  # noqa: ARG002 - the seam's shape
        return self._keys.sign(key, message, version)

    async def prove_possession(self, key: VaultKey, call: Call) -> bytes:  # noqa: ARG002 - the seam's shape
        return self._keys.prove(key)

    async def prove_possession_of(self, key: VaultKey, public_key: bytes, call: Call) -> bytes:  # noqa: ARG002 - the seam's shape
        return self._keys.prove(key, public_key)

    def readiness(self) -> Readiness:
        return Readiness(ready=True, reason="; ".join(self._content.problems))

    async def close(self) -> None:
        """Forget the keys."""
        self._keys, self._content, self._stamp = HeldKeys(), Content({}, ()), None

    async def _read(self) -> None:
        async with self._reading:
            stamp = await asyncio.to_thread(_stamp, self._path)
            if stamp == self._stamp:
                return
            if stamp[-1] & _OTHERS:
                logger.warning("%s is open to others than its owner; make it mode 0600", self._path)
            content = await asyncio.to_thread(
                _parse, self._path, self._password, self._content.pairs, self._password_file
            )
            self._tell(content)
            self._keys, self._stamp = HeldKeys(content.pairs.values()), stamp

    def _tell(self, content: Content) -> None:
        for problem in content.problems:
            if problem not in self._content.problems:
                logger.error("%s: %s", self._path, problem)
        self._content = content


def _stamp(path: Path) -> Stamp:
    """Raises ConfigError for what is no readable file."""
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode


def _parse(
    path: Path,
    password: Callable[[str], str],
    unlocked: Mapping[str, KeyPair],
    password_file: Path | None = None,
) -> Content:
    pairs: dict[str, KeyPair] = {}
    problems = []
    for index, record in enumerate(_records(path)):
        name = record.get("name") if isinstance(record, dict) else None
        label = f"record {index}" + (f" `{name}'" if isinstance(name, str) and name.isprintable() else "")
        try:
            value = _value(record)
            pairs[value] = unlocked.get(value) or _unlock(value, str(name), password)
        except MalformedError as error:
            problems.append(f"{label} is left out: {error.message}{_advice(error.hint, password_file)}")
    return Content(pairs, tuple(problems))


def _advice(hint: str | None, password_file: Path | None) -> str:
    """What to do about a record, with the file that a wrong password came from."""
    if not hint:
        return ""
    return f"; {hint} ({password_file})" if password_file and "password" in hint else f"; {hint}"


def _records(path: Path) -> list[Any]:
    try:
        records = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError):
        records = None
    if not isinstance(records, list):
        raise ConfigError(
            f"{path} is not a list of secret keys",
            hint='it must be JSON: [{"name": "alice", "value": "unencrypted:edsk..."}]',
        )
    return records


def _value(record: Any) -> str:
    if not isinstance(record, dict) or not isinstance(record.get("value"), str):
        raise MalformedError('it must be {"name": ..., "value": ...}')
    value: str = record["value"]
    scheme, colon, _ = value.partition(":")
    if colon and scheme not in _SCHEMES:
        raise MalformedError("its value holds no secret key: only unencrypted: and encrypted: values do")
    return value


def _unlock(value: str, name: str, password: Callable[[str], str]) -> KeyPair:
    return secrets.parse(value, password=lambda: password(f"(File): Enter password to unlock key `{name}': "))


def _from_file(path: Path) -> Callable[[str], str]:
    def read(_prompt: str) -> str:
        try:
            return path.read_text("utf-8").removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise ConfigError(
                f"cannot read the password file {path}: {error.strerror}", hint=_HINT
            ) from error
        except ValueError:
            raise ConfigError(f"the password file {path} is not UTF-8 text", hint=_HINT) from None

    return read
