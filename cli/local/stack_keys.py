"""The keys of a laptop stack: one of each kind, made in the enclave where it is missing."""

from pathlib import Path

from signatory import registry
from signatory.config import load as config
from signatory.crypto.curves import KeyType, Purpose
from signatory.errors import UnavailableError
from signatory.vault import Call, Generator, Vault
from vaults import DRIVERS

KINDS = {
    "tz1": KeyType.ED25519,
    "tz2": KeyType.SECP256K1,
    "tz3": KeyType.P256,
    "tz4": KeyType.BLS,
    "tz5": KeyType.MLDSA44,
}


async def ensure_keys(config_file: Path) -> list[str]:
    """The identifiers of all Tezos keys of the configured vault, after making those that are missing.

    Opens the vault in this process, its proxy too, and closes it again. Raises what the driver raises, and
    UnavailableError when the vault is not ready.
    """
    found = config.load(config_file, env={})
    (registration,) = registry.resolve(found, DRIVERS, env={})
    vault = await registration.driver.open(registration.config, registration.context)
    try:
        readiness = vault.readiness()
        if not readiness.ready:
            raise UnavailableError(f"the enclave's vault is not ready: {readiness.reason}")
        return await _with_missing(vault)
    finally:
        await vault.close()


def one_of_each(keys: list[str]) -> dict[str, str]:
    """The first key of each kind: `tz1` to `tz5` and their hashes."""
    return {kind: next(key for key in keys if key.startswith(kind)) for kind in KINDS}


async def _with_missing(vault: Vault) -> list[str]:
    keys = [key.id for key in await vault.list() if key.purpose is Purpose.TEZOS]
    if not isinstance(vault, Generator):
        raise UnavailableError("the vault cannot make keys")
    for kind, key_type in KINDS.items():
        if not any(key.startswith(kind) for key in keys):
            made = await vault.generate(key_type, Purpose.TEZOS, Call(f"dev-{kind}", timeout=60))
            keys.append(made.id)
    return keys
