"""The key store that a configuration names."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from signatory.net.aws import AwsCredentials
from vaults.nitro.config import StorageConfig, TablesConfig
from vaults.nitro.storage.file import REFERENCE_NAME, FileStore
from vaults.nitro.storage.store import FilesInThreads, Store
from vaults.paths import expand


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a store may need beside its own section.

    `credentials` and `region` are the vault's, for a section that names none; without them AWS's default
    chain is asked. Neither ever goes through the environment of the process.
    """

    base_dir: Path
    vault: str
    credentials: AwsCredentials | None = None
    region: str | None = None


async def open_store(
    config: StorageConfig,
    base_dir: Path,
    context_name: str,
    *,
    credentials: AwsCredentials | None = None,
    region: str | None = None,
) -> Store:
    """The store, open; close it. `context_name` is the vault's, `credentials` and `region` as Surroundings.

    Raises ConfigError, UnavailableError.
    """
    return await DRIVERS[config.driver](config, Surroundings(base_dir, context_name, credentials, region))


async def _file(config: StorageConfig, around: Surroundings) -> Store:
    path = expand(config.path, around.base_dir) if config.path else around.base_dir / REFERENCE_NAME
    return FilesInThreads(FileStore(path))


async def _aws(config: StorageConfig, around: Surroundings) -> Store:
    from vaults.nitro.storage.dynamodb import DynamoStore  # noqa: PLC0415  # only who uses a table loads it

    tables = config.tables or TablesConfig()
    reference, sealed = (
        replace(settings, region=settings.region or around.region)
        for settings in tables.settings(around.credentials)
    )
    return await DynamoStore.open(reference, sealed)


DRIVERS: Mapping[str, Callable[[StorageConfig, Surroundings], Awaitable[Store]]] = {
    "file": _file,
    "aws": _aws,
}
"""By the `driver` of a `storage` section; `dynamodb` is read as `aws`."""
