"""`keys copy`: sealed keys between stores, by whoever may read the one and write the other."""

import asyncio
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import click
from pydantic import ValidationError

from cli import prepare
from cli.asking import Terminal
from cli.options import HELP, global_options, settings
from cli.program import failed
from signatory import machine
from signatory.errors import ConfigError, SignatoryError
from signatory.net.aws import AwsCredentials
from signatory.observe import log
from vaults.nitro.config import NitroConfig, StorageConfig
from vaults.nitro.storage import copying
from vaults.nitro.storage.file import BIRTHS_NAME, REFERENCE_NAME, SEALED_NAME
from vaults.nitro.storage.store import Store
from vaults.nitro.storage.table import open_store

FILE, TABLES = "file:", "dynamodb:"
_FORMS = "a nitro vault of the configuration, file:PATH, or dynamodb:REGION[/TABLE/SEALED_TABLE]"


_BESIDE = re.compile(rf"({Path(SEALED_NAME).stem}|{Path(BIRTHS_NAME).stem})(\.[1-9][0-9]*)?\.json", re.ASCII)
"""Files of a store that do not name it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A store that is named on the command line, and what opens it."""

    text: str
    storage: StorageConfig
    base_dir: Path = Path()
    credentials: AwsCredentials | None = None
    region: str | None = None

    async def open(self) -> Store:
        """Raises as open_store."""
        return await open_store(
            self.storage, self.base_dir, self.text, credentials=self.credentials, region=self.region
        )


@dataclass(slots=True)
class Progress:
    """How far a copy is; shown on a terminal where it takes a while."""

    number: int
    done: int = 0

    def told(self, done: int) -> None:
        """So many are done."""
        self.done = done
        if sys.stderr.isatty() and self.number > copying.TOGETHER:
            click.echo(f"\r{done} of {self.number} keys", err=True, nl=done == self.number)


@click.group(context_settings=HELP)
@global_options
def keys() -> None:
    """Sealed keys as their stores hold them; no enclave is needed."""


@keys.command("copy", context_settings=HELP)
@click.option("--from", "source", required=True, metavar="STORE", help=f"Where keys are: {_FORMS}.")
@click.option("--to", "target", required=True, metavar="STORE", help="Where they go, in the same forms.")
@click.option("--dry-run", is_flag=True, help="Show what would be copied, and write nothing.")
@global_options
def copy_keys(source: str, target: str, dry_run: bool) -> int:
    """Copy sealed keys and births as they are. What is there already is never overwritten."""
    machine.check()
    log.configure(settings().level(), as_json=settings().json_log)
    names = [text for text in (source, target) if not _is_written(text)]
    vaults = _vaults(names[0]) if names else {}
    return asyncio.run(_copy(_place(source, vaults), _place(target, vaults), dry_run=dry_run))


async def _copy(source: Place, target: Place, *, dry_run: bool) -> int:
    read_from = await source.open()
    try:
        write_to = await target.open()
        try:
            return await _between(source, read_from, write_to, dry_run=dry_run)
        finally:
            await write_to.close()
    finally:
        await read_from.close()


async def _between(source: Place, read_from: Store, write_to: Store, *, dry_run: bool) -> int:
    held = await read_from.load()
    if not held.keys and not held.problems:
        return failed(f"{source.text} holds no keys", "is that the right path, region or table?")
    plan = copying.plan(held, await write_to.load())
    left_out = list(plan.left_out)
    spread = await read_from.is_extended() and not await write_to.is_extended()
    if not dry_run:
        if spread:
            await write_to.remember_extended()
        progress = Progress(len(plan.new))
        try:
            left_out += await copying.copy(plan.new, write_to, progress.told)
        except SignatoryError as error:
            failed(error.message, error.hint)
            return failed(f"{progress.done} of {progress.number} keys were gone through before; copy again")
    for sentence in left_out:
        click.echo(f"left out: {sentence}", err=True)
    if spread:
        will = "would be" if dry_run else "is now"
        click.echo(
            f"that the vault spoke the extended protocol {will} remembered in the target too", err=True
        )
    copied = len(plan.new) - (len(left_out) - len(plan.left_out))
    verb = "would be copied" if dry_run else "copied"
    click.echo(f"{copied} {verb}, {len(plan.there)} there already, {len(left_out)} left out")
    return int(bool(left_out))


def _is_written(text: str) -> bool:
    """Whether the place says all by itself."""
    return text.startswith((FILE, TABLES))


def _vaults(asked: str) -> dict[str, Place | None]:
    """The stores of the configured vaults by their names; None for a vault that has none.

    Raises ConfigError, also where there is no configuration that could have a vault `asked`.
    """
    file = settings().config
    if file and not Path(file).exists():
        raise ConfigError(
            f"{asked} names no store", hint=f"use {_FORMS}; for a vault give -c FILE: there is no {file}"
        )
    found = prepare.load(settings())
    prepare.warn(found)
    with Terminal() as terminal:
        known = prepare.registrations(found, settings(), terminal)
    return {
        one.name: Place(
            one.name,
            one.config.storage,
            one.context.base_dir,
            one.config.credentials.written,
            one.config.region,
        )
        if isinstance(one.config, NitroConfig)
        else None
        for one in known
    }


def _place(text: str, vaults: dict[str, Place | None]) -> Place:
    """Raises ConfigError for what is none of the forms."""
    if text.startswith(FILE):
        path = text.removeprefix(FILE)
        if _BESIDE.fullmatch(Path(path).name):
            raise ConfigError(
                f"{text} is one file of a store",
                hint=f"name the store by {FILE}{Path(path).with_name(REFERENCE_NAME)}, even where that file "
                "is not there",
            )
        return Place(text, _storage(text, {"config": path}))
    if text.startswith(TABLES):
        region, *tables = text.removeprefix(TABLES).split("/")
        if len(tables) not in {0, 2}:
            raise ConfigError(f"{text} names no store", hint=f"use {_FORMS}")
        names = dict(zip(("table", "sealed_table"), tables, strict=False))
        return Place(text, _storage(text, {"driver": "aws", "config": {"region": region, **names}}))
    if text not in vaults:
        raise ConfigError(f"there is no vault {text}", hint=f"use {_FORMS}")
    if (place := vaults[text]) is None:
        raise ConfigError(f"vault {text} has no key store", hint="only nitro vaults keep sealed keys")
    return place


def _storage(text: str, section: dict[str, object]) -> StorageConfig:
    try:
        return StorageConfig.model_validate(section)
    except ValidationError as error:
        what = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{text} names no store: {what}", hint=f"use {_FORMS}") from None
