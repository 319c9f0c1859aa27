"""From the name of a driver to its class, and from `vaults:` to what the keyring opens.

The table (driver → "module:Class") comes from the composition; drivers of others come by the entry-point
group `signatory.vaults`. Only a driver that is named is imported.
"""

import importlib
import os
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, cast

from pydantic import BaseModel

from signatory.config.check import Checked, check, fill_from_environment, told_from_environment
from signatory.config.load import Config, VaultCheck
from signatory.config.problems import ConfigProblemsError, Problem, shown, suggestion
from signatory.errors import ConfigError
from signatory.vault import Registration, Vault, VaultContext

GROUP = "signatory.vaults"
FOREIGN = frozenset(
    {"awskms", "azure", "cloudkms", "hashicorpvault", "ledger", "pkcs11", "yubihsm", "confidentialspace"}
)
"""Drivers that Signatory has and we lack."""

Table = Mapping[str, str]
Contexts = Callable[[str], VaultContext]


def load(driver: str, table: Table) -> type[Vault]:
    """The class of a driver. Raises ConfigError naming the drivers there are, or why it does not load."""
    if driver in table:
        return _imported(driver, table[driver])
    for entry in metadata.entry_points(group=GROUP, name=driver):
        return _imported(driver, entry.value)
    names = sorted({*table, *(entry.name for entry in metadata.entry_points(group=GROUP))})
    if driver in FOREIGN:
        raise ConfigError(
            f"the driver `{driver}` of Signatory is not available here; available: {', '.join(names)}"
        )
    raise ConfigError(f"there is no driver `{shown(driver)}`{suggestion(driver, names)}")


def vault_check(
    table: Table, *, env: Mapping[str, str] = os.environ, allow_unknown: bool = False
) -> VaultCheck:
    """What `config.load(vaults=...)` takes: the drivers' complaints in one list with all others."""

    def judge(vaults: Mapping[str, Any]) -> tuple[list[Problem], list[Problem]]:
        problems: list[Problem] = []
        unknown: list[Problem] = []
        for name, entry in vaults.items():
            if isinstance(entry, dict) and isinstance(entry.get("driver"), str):
                found = _judge(name, entry["driver"], entry.get("config"), table, env, allow_unknown)
                problems += found.problems
                unknown += found.unknown
        return problems, unknown

    return judge


def resolve(
    config: Config,
    table: Table,
    context: Contexts | None = None,
    *,
    env: Mapping[str, str] = os.environ,
    allow_unknown: bool = False,
) -> list[Registration]:
    """What the keyring opens, in the order of the file. `context` makes a vault's surroundings from its name.

    Raises ConfigProblemsError with every problem of every vault.
    """
    contexts = context or (lambda name: VaultContext(name, config.base_dir, nobody_to_ask))
    problems: list[Problem] = []
    registrations: list[Registration] = []
    for name, entry in config.vaults.items():
        found = _judge(name, entry.driver, entry.config, table, env, allow_unknown)
        problems += found.problems
        if found.model is not None:
            driver = load(entry.driver, table)
            registrations.append(Registration(name, driver, found.model, contexts(name), entry.driver))
    if problems:
        raise ConfigProblemsError(problems, source=config.source)
    return registrations


def nobody_to_ask(prompt: str) -> str:
    """The `password` of a context without an operator. Raises ConfigError."""
    raise ConfigError(f"a password is needed and nobody can be asked for it: {prompt.strip().rstrip(':')}")


def _judge(
    name: str, driver: str, settings: Any, table: Table, env: Mapping[str, str], allow_unknown: bool
) -> Checked[BaseModel]:
    try:
        model = load(driver, table).Config
    except ConfigError as error:
        text = f"{error}; {error.hint}" if error.hint else str(error)
        return Checked(None, (Problem(("vaults", name, "driver"), text),))
    path = ("vaults", name, "config")
    found = check(model, fill_from_environment(model, settings, env), path, allow_unknown=allow_unknown)
    problems = tuple(told_from_environment(problem, model, settings, path) for problem in found.problems)
    return Checked(found.model, problems, found.unknown)


def _imported(driver: str, target: str) -> type[Vault]:
    module, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the driver `{driver}` cannot be imported from {target}: {error}") from error
    model = getattr(found, "Config", None)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise ConfigError(f"{target} is no driver: it has no `Config` model")
    return cast(type[Vault], found)
