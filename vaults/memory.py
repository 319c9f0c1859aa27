"""The `mem` driver: secret keys written in the configuration, gone with the process. For tests and trials."""

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, RootModel, SecretStr, model_validator

from signatory.crypto import keypair
from signatory.crypto.curves import KeyType, Purpose, SigningVersion
from signatory.crypto.keypair import KeyPair
from signatory.errors import ConfigError, MalformedError
from signatory.tezos import secrets
from signatory.vault import Call, Readiness, VaultContext, VaultKey
from vaults.held import HeldKeys


class MemoryConfig(RootModel[tuple[SecretStr, ...]]):
    """A list of Base58 secret keys; it may be empty or absent."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _absent_is_empty(cls, value: Any) -> Any:
        return () if value is None else value


class MemoryVault:
    """Keys in memory. What it generates or imports is forgotten when the process ends."""

    Config: ClassVar[type[BaseModel]] = MemoryConfig
    label = "Mem"

    def __init__(self, keys: HeldKeys) -> None:
        self._keys = keys

    @classmethod
    async def open(cls, config: MemoryConfig, context: VaultContext) -> Self:
        """Raises ConfigError naming the place of a key that cannot be used."""
        texts = [text.get_secret_value() for text in config.root]
        return cls(HeldKeys(await asyncio.to_thread(_parse, texts, context)))

    async def list(self) -> Sequence[VaultKey]:
        return self._keys.list()

    async def sign(self, key: VaultKey, message: bytes, version: SigningVersion, call: Call) -> bytes:  # noqa: ARG002 - the seam's shape
        return self._keys.sign(key, message, version)

    async def prove_possession(self, key: VaultKey, call: Call) -> bytes:  # noqa: ARG002 - the seam's shape
        return self._keys.prove(key)

    async def prove_possession_of(self, key: VaultKey, public_key: bytes, call: Call) -> bytes:  # noqa: ARG002 - the seam's shape
        return self._keys.prove(key, public_key)

    async def generate(self, key_type: KeyType, purpose: Purpose, call: Call) -> VaultKey:  # noqa: ARG002 - the seam's shape
        return self._keys.add(keypair.generate(key_type, purpose, os.urandom))

    async def import_key(self, pair: KeyPair, call: Call) -> VaultKey:  # noqa: ARG002 - the seam's shape
        return self._keys.add(pair)

    def readiness(self) -> Readiness:
        return Readiness(ready=True)

    async def close(self) -> None:
        """Forget the keys."""
        self._keys = HeldKeys()


def _parse(texts: Sequence[str], context: VaultContext) -> list[KeyPair]:
    pairs = []
    for index, text in enumerate(texts):
        try:
            pairs.append(secrets.parse(text, password=partial(context.password, _prompt(index))))
        except MalformedError as error:
            raise ConfigError(
                f"vaults.{context.name}.config[{index}]: {error.message}", hint=error.hint
            ) from error
    return pairs


def _prompt(index: int) -> str:
    return f"(Mem): Enter password to unlock key number {index}: "
