"""Vaults to test: each driver as a rig that can be opened again and again, with its real processes."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import base58
from dilithium_py.ml_dsa import ML_DSA_44  # type: ignore[import-untyped]  # it ships no types
from emulators import KEY_ARN
from independent import verifies

from signatory.crypto.curves import KeyType, Purpose, SigningVersion, default_purpose
from signatory.errors import ConfigError
from signatory.vault import Call, Generator, Vault, VaultContext, VaultKey
from vaults.file import FileVault
from vaults.memory import MemoryVault
from vaults.nitro.config import NitroConfig
from vaults.nitro.driver import NitroVault

CALL = Call("test", timeout=20.0)
LATEST = SigningVersion.LATEST
MESSAGE = b"\x03message"
TEZOS = (KeyType.ED25519, KeyType.SECP256K1, KeyType.P256, KeyType.BLS, KeyType.MLDSA44)


def base58check(prefix: str, payload: bytes) -> str:
    return base58.b58encode_check(bytes.fromhex(prefix) + payload).decode()


def mdsk() -> str:
    public, secret = ML_DSA_44.key_derive(bytes(range(32)))
    return base58check("09397439", secret + public)


SECRETS = (
    base58check("0d0f3a07", b"\x11" * 32),  # edsk
    base58check("11a2e0c9", b"\x22" * 32),  # spsk
    base58check("1051eebd", b"\x33" * 32),  # p2sk
    base58check("0396c028", b"\x44" * 31 + b"\x04"),  # BLsk, little-endian
    mdsk(),
)


def nobody(prompt: str) -> str:
    raise ConfigError(f"nobody can be asked: {prompt}")


def context(base_dir: Path, password: Callable[[str], str] = nobody) -> VaultContext:
    return VaultContext("test", base_dir, password, serving=True)


@dataclass
class Rig:
    """One driver, ready to be opened. `families` is what it can hold; a durable one keeps what it makes."""

    name: str
    driver: type[Vault]
    config: Any
    context: VaultContext
    families: Sequence[KeyType] = TEZOS
    durable: bool = False

    async def open(self) -> Vault:
        return await self.driver.open(self.config, self.context)

    async def filled(self) -> tuple[Vault, dict[KeyType, VaultKey]]:
        """An open vault with a key of every family."""
        vault = await self.open()
        keys = {key.public_key.type: key for key in await vault.list()}
        for family in self.families:
            if family not in keys and isinstance(vault, Generator):
                keys[family] = await vault.generate(family, default_purpose(family), CALL)
        return vault, keys


def mem_rig(folder: Path) -> Rig:
    return Rig("mem", MemoryVault, MemoryVault.Config.model_validate(list(SECRETS)), context(folder))


def file_rig(folder: Path) -> Rig:
    path = folder / "secret_keys"
    records = [{"name": f"key{i}", "value": f"unencrypted:{text}"} for i, text in enumerate(SECRETS)]
    path.write_text(json.dumps(records))
    path.chmod(0o600)
    return Rig("file", FileVault, FileVault.Config.model_validate(str(path)), context(folder))


def nitro_config(folder: Path, **changed: Any) -> NitroConfig:
    """For a reference enclave, such as the fake one."""
    values: dict[str, Any] = {
        "enclave_address": f"unix:{folder}/enclave.sock",
        "enclave_protocol": "reference",
        "encryption_key_id": KEY_ARN,
        "credentials": {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI"},
    }
    return NitroConfig.model_validate(values | changed)


def nitro_rig(folder: Path, **changed: Any) -> Rig:
    config = nitro_config(folder, **changed)
    name = f"nitro, {config.enclave_protocol.value}"
    return Rig(name, NitroVault, config, context(folder / "base"), tuple(KeyType), durable=True)


async def signs(vault: Vault, key: VaultKey) -> bool:
    """Whether the vault signs with this key what an independent library verifies."""
    signature = await vault.sign(key, MESSAGE, LATEST, CALL)
    raw = key.purpose is Purpose.RAW
    return verifies(key.public_key.type.value, key.public_key.data, MESSAGE, signature, raw=raw)


Opened = Callable[[Rig], Awaitable[Vault]]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another task or process does."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nobody else would set an event
            await asyncio.sleep(0.001)
