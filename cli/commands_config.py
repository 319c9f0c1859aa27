"""`config check`: judge a configuration without opening anything."""

import click

from cli import prepare
from cli.options import HELP, global_options, settings
from signatory.config.load import policy_of


@click.group(context_settings=HELP)
@global_options
def config() -> None:
    """Work with the configuration file."""


@config.command(context_settings=HELP)
@global_options
def check() -> None:
    """Say everything that is wrong with the configuration, or that nothing is."""
    found = prepare.load(settings())
    policy = policy_of(found)
    for text in found.warnings:
        click.echo(f"Warning: {text}", err=True)
    vaults = ", ".join(f"{name} ({entry.driver})" for name, entry in found.vaults.items()) or "none"
    click.echo(f"{found.source or 'defaults'}: good")
    click.echo(f"    base folder: {found.base_dir}")
    click.echo(f"    listeners:   {found.server.address} and {found.server.utility_address}")
    click.echo(f"    vaults:      {vaults}")
    click.echo(f"    keys:        {len(policy.keys)}")
