"""The keys of a laptop stack: one of each kind, made in the enclave where it is missing."""

from pathlib import Path

from cli.local import stack_births, state
from cli.local.layout import Layout
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


async def ensure_keys(layout: Layout) -> tuple[list[str], dict[str, str]]:
    """All Tezos keys of the configured vault, and the one of each kind that the stack shows.

    Makes a kind's key where there never was one; keys.json remembers it, so that a key which cannot be loaded
    today is an error and not a reason for another one. Writes down the birth certificates of those shown.
    Opens the vault in this process, its proxy too, and closes it again. Raises what the driver raises, and
    UnavailableError when the vault or a recorded key is not ready.
    """
    known = _recorded(layout.keys)
    found = config.load(layout.config, env={})
    (registration,) = registry.resolve(found, DRIVERS, env={})
    vault = await registration.driver.open(registration.config, registration.context)
    try:
        readiness = vault.readiness()
        if not readiness.ready:
            raise UnavailableError(f"the enclave's vault is not ready: {readiness.reason}")
        keys = [key.id for key in await vault.list() if key.purpose is Purpose.TEZOS]
        for kind in KINDS:
            known[kind] = known.get(kind) or await _first_or_new(vault, keys, kind)
            state.write_json(layout.keys, known)
            stack_births.save(layout, vault, kind, known[kind])
    finally:
        await vault.close()
    if missing := sorted(set(known.values()) - set(keys)):
        raise UnavailableError(
            f"the vault cannot load {', '.join(missing)}, made at an earlier start",
            hint=f"the reason is above or in the logs; to go on without, remove it from {layout.keys}",
        )
    return keys, known


def _recorded(record: Path) -> dict[str, str]:
    found = state.read_json(record) if record.exists() else {}
    return {kind: key for kind, key in found.items() if kind in KINDS and isinstance(key, str)}


async def _first_or_new(vault: Vault, keys: list[str], kind: str) -> str:
    """The first key of a kind; a new one is added to `keys`."""
    for key in keys:
        if key.startswith(kind):
            return key
    if not isinstance(vault, Generator):
        raise UnavailableError("the vault cannot make keys")
    made = await vault.generate(KINDS[kind], Purpose.TEZOS, Call(f"dev-{kind}", timeout=60))
    keys.append(made.id)
    return made.id
