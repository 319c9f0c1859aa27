"""Commands that need no configuration: `list-requests`, `list-ops`, `version`."""

import platform
from collections.abc import Iterable
from importlib import metadata

import click

from cli import provenance
from cli.options import HELP, global_options
from signatory.policy.kinds import OPERATION_KINDS, REQUEST_KINDS

DISTRIBUTION = "signatory-vault"


@click.command("list-requests", context_settings=HELP)
@global_options
def list_requests() -> None:
    """Show the kinds of requests that a policy can allow."""
    _listed("Possible request types:", REQUEST_KINDS)


@click.command("list-ops", context_settings=HELP)
@global_options
def list_operations() -> None:
    """Show the kinds of operations that a policy can allow under `generic`."""
    _listed("Possible operation types:", OPERATION_KINDS)


@click.command(context_settings=HELP)
@global_options
def version() -> None:
    """Show the version; on stderr also the Python and where the code is."""
    click.echo(f"Release Version: {release()}")
    click.echo(f"Python: {platform.python_version()}", err=True)
    click.echo(f"From: {provenance.home()}", err=True)


def release() -> str:
    """The version of the distribution; empty when it is run without having been installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return ""


def _listed(title: str, names: Iterable[str]) -> None:
    click.echo(title)
    for name in sorted(names):
        click.echo(f"    - {name}")
