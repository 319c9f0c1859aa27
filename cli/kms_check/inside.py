"""The calls that only the enclave can make: it seals throw-away keys, and opens them again or must not.

The daemon's own driver is used, over a key store in a temporary folder: nothing of the vault is changed.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cli import prepare
from cli.kms_check.rows import Row
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import ConfigError, SignatoryError
from signatory.nitro import sealed
from signatory.nitro.kms import Arn
from signatory.nitro.sealed import Scheme
from signatory.vault import Generator, Registration, TenantGenerator, Vault, VaultKey, Withholding
from vaults.nitro import loading
from vaults.nitro.config import NitroConfig, StorageConfig
from vaults.nitro.negotiation import Protocol
from vaults.nitro.storage.record import SealedKey
from vaults.nitro.storage.store import Store
from vaults.nitro.storage.table import open_store

OWNER = "kms-check"
"""The tenant of throw-away keys."""

_REACH = "the enclave is reached and shows its attestation document"
_BY_KMS = ("InvalidCiphertextException", "AccessDenied")
"""What a refusal by KMS itself says; a network that is down says something else."""


@dataclass(slots=True)
class Trial:
    """What came so far: rows, and the keys that the enclave made."""

    rows: list[Row] = field(default_factory=list)
    keys: list[SealedKey] = field(default_factory=list)

    def add(self, call: str, expected: str, got: str, *, good: bool) -> None:
        self.rows.append(Row(call, expected, got, good))


async def happy_path(registration: Registration, key: Arn, context_keys: Sequence[str]) -> Trial:
    """Keys are made, sealed under this KMS key, and opened again on a new connection."""
    trial = Trial()
    with tempfile.TemporaryDirectory(prefix="kms-check") as folder:
        beside = _beside(registration, Path(folder) / "made.json")
        await _make(trial, beside, key, context_keys)
        if trial.keys:
            await _open_again(trial, beside)
    return trial


async def contexts(registration: Registration, key: Arn, context_keys: Sequence[str]) -> Trial:
    """As happy_path, and then each key with its context edited, which KMS must refuse.

    A key by kms-encrypt-v0 has no context, which is a row that fails.
    """
    trial = await happy_path(registration, key, context_keys)
    if not trial.keys or not all(row.good for row in trial.rows):
        return trial
    for made in trial.keys:
        if made.scheme is Scheme.KMS_ENCRYPT:
            trial.add("the context is bound", "it is", f"not by {made.scheme.value}", good=False)
            continue
        for words, edited in _edited(made):
            await _must_not_open(trial, registration, words, edited)
    return trial


async def stored(registration: Registration) -> Sequence[SealedKey]:
    """The keys of the vault's own store. Raises what the store raises."""
    store = await _store(registration)
    try:
        return (await store.load()).keys
    finally:
        await store.close()


def nitro(registration: Registration) -> NitroConfig:
    """Raises ConfigError for a vault without an enclave."""
    if isinstance(registration.config, NitroConfig):
        return registration.config
    raise ConfigError(f"vault {registration.name} has no enclave")


def _beside(registration: Registration, path: Path) -> Registration:
    """The same vault over a store of its own. A silent fall to the reference protocol would show nothing."""
    config = nitro(registration)
    protocol = Protocol.EXTENDED if config.protocol is Protocol.AUTO else config.protocol
    changed = {"storage": StorageConfig(config=str(path)), "enclave_protocol": protocol}
    return replace(registration, config=config.model_copy(update=changed))


async def _make(trial: Trial, beside: Registration, key: Arn, context_keys: Sequence[str]) -> None:
    try:
        async with prepare.opened(beside) as vault:
            trial.add(_REACH, "it is", "it is", good=True)
            for name in context_keys:
                await _make_one(trial, beside, vault, key, name)
    except SignatoryError as error:
        trial.add(_REACH, "it is", _words(error), good=False)


async def _make_one(trial: Trial, beside: Registration, vault: Vault, key: Arn, name: str) -> None:
    call, expected = f"the enclave seals a throw-away key, context {{{name}}}", f"sealed under {key}"
    try:
        made = await _generate(vault, name)
    except SignatoryError as error:
        trial.add(call, expected, _words(error), good=False)
        return
    found = next(each for each in await stored(beside) if each.id == made.id)
    trial.keys.append(found)
    told = found.kms_key_arn or f"a key that {found.scheme.value} does not name"
    named = {str(key), ""} if found.scheme is Scheme.KMS_ENCRYPT else {str(key)}
    trial.add(call, expected, f"sealed under {told}", good=found.kms_key_arn in named)


async def _generate(vault: Vault, name: str) -> VaultKey:
    if name == "user_id":
        if not isinstance(vault, TenantGenerator):
            raise ConfigError("the vault makes no keys of tenants")
        return await vault.generate_for(OWNER, KeyType.ED25519, Purpose.TEZOS, prepare.call())
    if not isinstance(vault, Generator):
        raise ConfigError("the vault makes no keys")
    return await vault.generate(KeyType.ED25519, Purpose.TEZOS, prepare.call())


async def _open_again(trial: Trial, beside: Registration) -> None:
    """KMS must give the data key to the attested enclave, sealed to it; in clear the enclave refuses it."""
    call, expected = "the enclave opens it again on a new connection", "opened, the same public key"
    try:
        async with prepare.opened(beside) as vault:
            shown = {key.id for key in await vault.list()}
            for made in trial.keys:
                why = vault.withheld(made.id) if isinstance(vault, Withholding) else None
                good = made.id in shown
                trial.add(call, expected, expected if good else why or "it is not there", good=good)
    except SignatoryError as error:
        trial.add(call, expected, _words(error), good=False)


async def _must_not_open(trial: Trial, registration: Registration, words: str, edited: SealedKey) -> None:
    call, expected = f"the enclave opens a key, {words}", "refused by KMS"
    with tempfile.TemporaryDirectory(prefix="kms-check") as folder:
        beside = _beside(registration, Path(folder) / "edited.json")
        store = await _store(beside)
        try:
            await store.add(edited)
        finally:
            await store.close()
        try:
            with _unlogged(loading.logger):
                async with prepare.opened(beside) as vault:
                    shown = edited.id in {key.id for key in await vault.list()}
                    why = vault.withheld(edited.id) if isinstance(vault, Withholding) else None
        except SignatoryError as error:
            shown, why = False, _words(error)
    got = "opened" if shown else why or "it is not there, without a reason"
    trial.add(call, expected, got, good=not shown and any(name in got for name in _BY_KMS))


def _edited(made: SealedKey) -> Iterator[tuple[str, SealedKey]]:
    """The same key, its record saying another owner: that is another encryption context."""
    record = sealed.decode(made.blob)
    owners = [f"{OWNER}-other"] if made.user_id is None else [f"{OWNER}-other", None]
    for owner in owners:
        name = replace(record.name, user_id=owner)
        words = f"its context edited from {_shown(made.user_id)} to {_shown(owner)}"
        yield words, SealedKey.of_blob(sealed.encode(replace(record, name=name)))


@contextlib.contextmanager
def _unlogged(logger: logging.Logger) -> Iterator[None]:
    """Nothing of this logger meanwhile: it would call for a backup where a refusal is what is wanted."""

    def nothing(_: logging.LogRecord) -> bool:
        return False

    logger.addFilter(nothing)
    try:
        yield
    finally:
        logger.removeFilter(nothing)


def _shown(user_id: str | None) -> str:
    return "{key_id}" if user_id is None else f"{{user_id: {user_id}}}"


async def _store(registration: Registration) -> Store:
    config, context = nitro(registration), registration.context
    return await open_store(
        config.storage,
        context.base_dir,
        context.name,
        credentials=config.credentials.written,
        region=config.region,
    )


def _words(error: SignatoryError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message
