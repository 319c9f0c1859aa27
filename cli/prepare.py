"""What every command that touches keys does first: configuration, log, base folder; then its vaults."""

import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from cli.asking import Terminal
from cli.options import Settings
from signatory import machine, registry
from signatory.config import load as config
from signatory.config.load import Config
from signatory.errors import ConfigError
from signatory.observe import log
from signatory.vault import Call, Registration, Vault, VaultContext
from vaults import DRIVERS

logger = logging.getLogger(__name__)

CALL_TIMEOUT = 60.0
"""Seconds for one call of a command to a vault: a command is more patient than a client of the daemon."""


def load(settings: Settings) -> Config:
    """The configuration, judged together with every vault's own block. Raises ConfigProblemsError."""
    allow = settings.allow_unknown_keys
    judge = registry.vault_check(DRIVERS, allow_unknown=allow)
    return config.load(settings.config, base_dir=settings.base_dir, allow_unknown=allow, vaults=judge)


def ready(settings: Settings) -> Config:
    """The configuration, with the log set up and the base folder proven writable. Raises ConfigError."""
    machine.check()
    found = load(settings)
    log.configure(settings.level(found.log.level), as_json=settings.json_log)
    warn(found)
    config.prepare_base_dir(found)
    return found


class Rereading:
    """The configuration of a daemon that runs, by the options that it was started with: a reload's source."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def read(self) -> Config:
        """As `load`, from a regular file: a pipe says nothing a second time, and would be waited for."""
        path = Path(self._settings.config)
        if self._settings.config and path.exists() and not path.is_file():
            raise ConfigError(f"{path} is not a regular file", hint="put the file there, or start again")
        return load(self._settings)

    def taken(self, config: Config) -> None:
        """The log follows."""
        log.set_level(self._settings.level(config.log.level))


def warn(found: Config) -> None:
    """Log what the operator should know about the configuration."""
    for text in found.warnings:
        logger.warning("%s", text)


def registrations(
    found: Config, settings: Settings, terminal: Terminal, *, serving: bool = False
) -> list[Registration]:
    """What can be opened, in the order of the file; passwords come from `terminal`.

    Raises ConfigProblemsError.
    """

    def context(name: str) -> VaultContext:
        return VaultContext(name, found.base_dir, terminal.ask, serving=serving)

    return registry.resolve(found, DRIVERS, context, allow_unknown=settings.allow_unknown_keys)


def named(known: Sequence[Registration], name: str) -> Registration:
    """The vault of this name. Raises ConfigError in Signatory's words."""
    for registration in known:
        if registration.name == name:
            return registration
    names = ", ".join(registration.name for registration in known)
    hint = f"configured: {names}" if names else "there are no vaults in the configuration"
    raise ConfigError(f"import: vault {name} is not found", hint=hint)


@contextlib.asynccontextmanager
async def opened(registration: Registration) -> AsyncIterator[Vault]:
    """The vault, open; closed at the end. Raises what the driver raises."""
    vault = await registration.driver.open(registration.config, registration.context)
    try:
        yield vault
    finally:
        await vault.close()


def call() -> Call:
    """A call of its own id."""
    return Call(request_id=f"cli-{uuid.uuid4()}", timeout=CALL_TIMEOUT)
