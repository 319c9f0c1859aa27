"""`watermark show | export | import | raise`. No vault is opened and no driver of one is loaded."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from cli import marks_document, marks_file, marks_plan
from cli.marks_plan import FAR, LAST_ROUND, Choice, Rise
from cli.options import HELP, global_options, settings
from cli.prepare import warn
from cli.watermarks import store_of
from signatory.config import load as config
from signatory.config.load import Config
from signatory.errors import ConfigError, SignatoryError, UnavailableError
from signatory.observe import log
from signatory.watermark.rules import SLOTS, Mark
from signatory.watermark.store import Marks, WatermarkStore

_HEADS = ("CHAIN", "KEY", "KIND", "LEVEL", "ROUND", "HASH")
_NUMBER = click.IntRange(0, LAST_ROUND)


def _checked(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A chain id or a key hash, whole: a mark under a mistyped one would protect nothing."""
    if value is None:
        return None
    read = marks_document.chain_id if parameter.name == "chain" else marks_document.key_hash
    try:
        return read(value)
    except SignatoryError as error:
        raise click.BadParameter(str(error), context, parameter) from None


_chain = click.option("--chain", metavar="CHAIN", callback=_checked, help="Only this chain, such as NetX...")
_key = click.option("--key", metavar="PKH", callback=_checked, help="Only this key.")
_restored = click.option(
    "--restored",
    is_flag=True,
    help="Take a folder that was put back from an older copy, or lost its journal, as it is.",
)
_yes = click.option("--yes", is_flag=True, help="Do not ask, however far a mark rises.")
_dry_run = click.option("--dry-run", is_flag=True, help="Show what would rise, and change nothing.")


@click.group(context_settings=HELP)
@global_options
def watermark() -> None:
    """Look at the marks, copy them, raise them. Nothing here lowers one."""


@watermark.command(context_settings=HELP)
@_chain
@_key
@click.option("--json", "as_json", is_flag=True, help="Print what `export` would.")
@global_options
def show(chain: str | None, key: str | None, as_json: bool) -> None:
    """Print the marks, also while the daemon runs."""
    found = Choice(chain, key).among(asyncio.run(_inspect(_loaded())))
    if as_json:
        click.echo(marks_document.encode(found), nl=False)
        return
    if not found:
        click.echo("there are no such marks", err=True)
        return
    table = [_HEADS, *(_cells(*row) for row in marks_plan.rows(found))]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(_HEADS))]
    for cells in table:
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        click.echo(line.rstrip())


@watermark.command(context_settings=HELP)
@click.argument("file", default="-", metavar="[FILE]", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@global_options
def export(file: Path, force: bool) -> None:
    """Write every mark as one JSON document to FILE or standard output, also while the daemon runs."""
    found = asyncio.run(_inspect(_loaded()))
    document = marks_document.encode(found)
    if str(file) == "-":
        click.echo(document, nl=False)
    else:
        marks_file.write(file, document, force=force)
    count = sum(1 for _ in marks_plan.rows(found))
    click.echo(f"{count} {_noun(count)} written", err=True)


@watermark.command("import", context_settings=HELP)
@click.argument("file", metavar="FILE|-", type=click.Path(path_type=Path))
@click.option(
    "--chain", metavar="CHAIN", callback=_checked, help="FILE is Signatory's watermark_v2/CHAIN.json."
)
@_restored
@_yes
@_dry_run
@global_options
def import_marks(file: Path, chain: str | None, restored: bool, yes: bool, dry_run: bool) -> None:
    """Raise the marks to those of FILE; what is higher already stays. Stop the daemon first."""
    found = _loaded()
    given = marks_file.read(file, chain)
    stored = asyncio.run(_inspect(found, restored=restored, opening=not dry_run))
    rises = marks_plan.merge(stored, given)
    _tell(rises)
    if restored:
        _tell_kept(marks_plan.without(stored, given), dry_run=dry_run, yes=yes)
    if dry_run:
        return
    if not yes:
        _refuse_far(rises)
    _told(asyncio.run(_lift(found, rises, restored=restored)))


@watermark.command("raise", context_settings=HELP)
@click.option("--level", required=True, type=_NUMBER, help="The level to rise to.")
@click.option(
    "--round",
    "round_",
    default=LAST_ROUND,
    type=_NUMBER,
    help="The round; every round of the level unless told, so that only higher levels are signed.",
)
@_chain
@_key
@click.option("--kind", type=click.Choice(tuple(SLOTS)), help="Only this kind.")
@_restored
@_yes
@_dry_run
@global_options
def raise_marks(  # noqa: PLR0913 - one option each
    level: int,
    round_: int,
    chain: str | None,
    key: str | None,
    kind: str | None,
    *,
    restored: bool,
    yes: bool,
    dry_run: bool,
) -> None:
    """Raise marks to a level. Chain, key and kind together make a mark that is not there.

    Stop the daemon first where the marks are in files.
    """
    found = _loaded()
    stored = asyncio.run(_inspect(found, restored=restored, opening=not dry_run))
    choice = Choice(chain, key, kind)
    rises = marks_plan.lifted(stored, choice, Mark(level, round_))
    _tell(rises)
    if restored:
        _tell_kept(marks_plan.without(stored, choice.among(stored)), dry_run=dry_run, yes=yes)
    if dry_run:
        return
    if rises and not yes:
        _confirm(rises)
    _told(asyncio.run(_lift(found, rises, restored=restored)))


def _loaded() -> Config:
    """The configuration, without any judgement of its vaults: marks must be reachable when those are not."""
    given = settings()
    found = config.load(given.config, base_dir=given.base_dir, allow_unknown=given.allow_unknown_keys)
    log.configure(given.level(found.log.level), as_json=given.json_log)
    warn(found)
    if found.watermark.driver == "mem":
        raise ConfigError(
            "the marks of the driver `mem` are in the daemon alone, and end with it",
            hint="use the driver file, aws or dynamodb for keys whose marks count",
        )
    if found.watermark.driver == "file" and not found.base_dir.is_dir():
        raise ConfigError(
            f"there is no folder {found.base_dir}", hint="name the one of the daemon: -c FILE or --base-dir"
        )
    return found


async def _inspect(found: Config, *, restored: bool = False, opening: bool = False) -> Marks:
    """The marks, without taking them. `opening` makes a table that is not there, for a first import."""
    store = store_of(found, accept_restored=restored)
    try:
        if opening and found.watermark.table is not None:
            await store.open()
        return await store.inspect()
    finally:
        await store.close()


async def _lift(found: Config, rises: Sequence[Rise], *, restored: bool) -> int:
    """Raise, and return how many rose; the marks may have risen meanwhile, and none is lowered."""
    if not rises and not restored:
        return 0
    store = store_of(found, accept_restored=restored)
    try:
        await _open(store)
        return await store.lift(marks_plan.marks_of(rises))
    finally:
        await store.close()


async def _open(store: WatermarkStore) -> None:
    try:
        await store.open()
    except UnavailableError as error:
        hint = error.hint or "stop the daemon first; `show` and `export` work while it runs"
        raise UnavailableError(error.message, hint=hint) from error


def _tell(rises: Sequence[Rise]) -> None:
    for rise in rises:
        click.echo(str(rise))
    if not rises:
        click.echo("no mark would rise", err=True)


def _tell_kept(count: int, *, dry_run: bool, yes: bool) -> None:
    """Name what an old copy would keep. Raises ConfigError where somebody must say yes to that."""
    if count == 0:
        return
    text = f"{count} {_noun(count)} would stay as the old copy has them"
    click.echo(text, err=True)
    if not dry_run and not yes:
        raise ConfigError(text, hint="raise every mark above what was signed, or use --yes")


def _told(count: int) -> None:
    click.echo(f"{count} {_noun(count)} raised")


def _confirm(rises: Sequence[Rise]) -> None:
    """Let the operator say yes. Raises ConfigError where one must say so by --yes, click.Abort for a no."""
    _refuse_far(rises)
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask at", hint="look at --dry-run, then use --yes")
    click.confirm(f"Raise {len(rises)} {_noun(len(rises))}? That cannot be undone.", abort=True, err=True)


def _refuse_far(rises: Sequence[Rise]) -> None:
    jump = max((rise.jump for rise in rises), default=0)
    if jump > FAR:
        raise ConfigError(
            f"a mark would rise by {jump} levels, and nothing would be signed until the chain is there",
            hint="if that is what you want, use --yes",
        )


def _noun(count: int) -> str:
    return "mark" if count == 1 else "marks"


def _cells(chain: str, key: str, kind: str, mark: Mark) -> tuple[str, ...]:
    return chain, key, kind, str(mark.level), str(mark.round), marks_document.hash_text(mark)
