"""The commands of `approve-list-svc`: `serve` and `pub`."""

import asyncio
import logging
import signal
from pathlib import Path

import click

from cli.approval import config
from cli.approval.config import Approval
from cli.approval.service import LIMITS, Service
from cli.commands_facts import version
from cli.options import HELP, LEVELS
from cli.program import run
from signatory import machine
from signatory.config.section import HostPort
from signatory.errors import ConfigError, UnavailableError
from signatory.observe import log
from signatory.server.connections import LimitedServer
from signatory.tezos.keys import PublicKey

logger = logging.getLogger("approve-list-svc")


@click.group(context_settings=HELP, invoke_without_command=True)
@click.option("-c", "--config", "file", type=click.Path(path_type=Path), help="Configuration file.")
@click.pass_context
def program(context: click.Context, file: Path | None) -> None:
    """Answer the policy hook of a daemon by a list of addresses."""
    context.obj = file
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


_config = click.option("-c", "--config", "file", type=click.Path(path_type=Path), help="Configuration file.")


@program.command(context_settings=HELP)
@_config
@click.pass_context
def pub(context: click.Context, file: Path | None) -> None:
    """Print the public key that the daemon must trust."""
    found = _loaded(context, file)
    if found.key is None:
        raise ConfigError(
            "private key is not specified", hint="write private_key or private_key_file in the configuration"
        )
    click.echo(f"Public key: {PublicKey(found.key.type, found.key.public).text}")


@program.command(context_settings=HELP)
@_config
@click.option(
    "--log", "level", default="info", type=click.Choice(LEVELS, case_sensitive=False), help="Log level."
)
@click.option("--json-log", is_flag=True, help="Log in JSON.")
@click.pass_context
def serve(context: click.Context, file: Path | None, level: str, json_log: bool) -> None:
    """Answer until SIGINT or SIGTERM."""
    log.configure(level, as_json=json_log)
    found = _loaded(context, file)
    for text in found.warnings:
        logger.warning("%s", text)
    asyncio.run(_serve(found))


program.add_command(version)
program.add_command(version, "v")


def main() -> int:
    """Run the command line. Returns the exit code."""
    return run(program, "approve-list-svc")


def _loaded(context: click.Context, file: Path | None) -> Approval:
    chosen = file or context.obj
    if chosen is None:
        raise click.UsageError("Missing option '-c' / '--config'.")
    machine.check()
    return config.load(chosen)


async def _serve(found: Approval) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = LimitedServer(Service(found), LIMITS)  # type: ignore[arg-type]  # answers need not be the daemon's own
    try:
        listener = await loop.create_server(server, found.address.host or None, found.address.port)
    except OSError as error:
        text = (error.strerror or str(error)).lower()
        raise UnavailableError(f"listen tcp {found.address}: bind: {text}") from error
    for one in listener.sockets:
        place = HostPort(*one.getsockname()[:2])
        logger.info("HTTP server is listening for connections on %s", place)
    await stop.wait()
    logger.info("Shutting down...")
    listener.close()
    await server.stop(LIMITS.drain)
