"""The commands of `signatory-cli`."""

import click

from cli.bench.command import bench
from cli.commands_attest import attest
from cli.commands_config import config
from cli.commands_facts import list_operations, list_requests, version
from cli.commands_import import import_key
from cli.commands_keys import generate, list_keys
from cli.commands_kms_check import kms_check
from cli.commands_kms_policy import kms_policy
from cli.commands_policy import policy
from cli.commands_store import keys
from cli.commands_watermark import watermark
from cli.options import HELP, global_options
from cli.program import run


@click.group(context_settings=HELP, invoke_without_command=True)
@global_options
@click.pass_context
def program(context: click.Context) -> None:
    """Keys, configuration and measurements of a signatory daemon."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (
    attest,
    bench,
    config,
    generate,
    import_key,
    keys,
    kms_check,
    kms_policy,
    list_keys,
    list_operations,
    list_requests,
    policy,
    version,
    watermark,
):
    program.add_command(command)
program.add_command(version, "v")


def main() -> int:
    """Run the command line. Returns the exit code."""
    return run(program, "signatory-cli")
