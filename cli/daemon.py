"""The commands of `signatory`: `serve`, `dev`, `version`."""

import asyncio
import logging
import signal
import threading
from pathlib import Path

import click

from cli import prepare
from cli.asking import Terminal
from cli.commands_facts import version
from cli.listing import block
from cli.options import HELP, global_options, settings
from cli.program import run
from cli.watermarks import store_of
from signatory.config.load import Config, policy_of
from signatory.keyring import Keyring
from signatory.server.daemon import Daemon, pins_of

logger = logging.getLogger(__name__)

DEV_FOLDER = Path(".signatory-dev")


@click.group(context_settings=HELP, invoke_without_command=True)
@global_options
@click.pass_context
def program(context: click.Context) -> None:
    """Remote signer. Without a command it serves."""
    if context.invoked_subcommand is None:
        _serve(list_keys=True)


@program.command(context_settings=HELP)
@click.option("--no-list", is_flag=True, help="Do not log the keys at the start.")
@global_options
def serve(no_list: bool) -> None:
    """Serve sign requests until SIGINT or SIGTERM."""
    _serve(list_keys=not no_list)


@program.command(context_settings=HELP)
@click.option(
    "--base-dir", default=DEV_FOLDER, type=click.Path(path_type=Path), help="Folder of all its files."
)
@click.option("--address", default="127.0.0.1:6732", metavar="HOST:PORT", help="API; loopback only.")
@click.option("--utility-address", default="127.0.0.1:9583", metavar="HOST:PORT", help="Health and metrics.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("--no-repin", is_flag=True, help="Refuse to start when the enclave program has changed.")
def dev(base_dir: Path, address: str, utility_address: str, quiet: bool, no_repin: bool) -> int:
    """Run the whole attested flow on this machine: KMS and NSM emulators, enclave signer, daemon."""
    from cli.local.stack import dev as run_stack  # noqa: PLC0415  # the emulators are of no use to `serve`

    return run_stack(base_dir, address, utility_address, quiet, not no_repin)


program.add_command(version)
program.add_command(version, "v")


def main() -> int:
    """Run the command line. Returns the exit code."""
    return run(program, "signatory")


def _serve(*, list_keys: bool) -> None:
    given, early = settings(), threading.Event()
    # From here on a hangup means a reload: one that comes while the file is read must not be lost.
    signal.signal(signal.SIGHUP, lambda *_: early.set())
    found = prepare.ready(given)
    with Terminal() as terminal:
        registrations = prepare.registrations(found, given, terminal, serving=True)
        keyring = Keyring(registrations, pins=pins_of(found))
        source = prepare.Rereading(given)
        asyncio.run(_run(found, keyring, source, terminal, early, list_keys=list_keys))


async def _run(
    found: Config,
    keyring: Keyring,
    source: prepare.Rereading,
    terminal: Terminal,
    early: threading.Event,
    *,
    list_keys: bool,
) -> None:
    daemon = Daemon(found, keyring, store_of(found), source=source)
    try:
        if await _started(daemon, early):
            if list_keys:
                _log_keys(found, keyring)
            await daemon.run_until_stopped()
    finally:
        terminal.close()  # a question that nobody answered must not hold the process


async def _started(daemon: Daemon, early: threading.Event) -> bool:
    """Start; False when SIGINT or SIGTERM came first. A signal after the start ends `run_until_stopped`."""
    loop = asyncio.get_running_loop()
    starting = loop.create_task(daemon.start())

    def give_up() -> None:
        daemon.request_stop()
        starting.cancel()

    loop.add_signal_handler(signal.SIGINT, give_up)
    loop.add_signal_handler(signal.SIGTERM, give_up)
    loop.add_signal_handler(signal.SIGHUP, daemon.hangup)
    if early.is_set():
        daemon.hangup()
    try:
        await starting
    except asyncio.CancelledError:
        return False
    return True


def _log_keys(found: Config, keyring: Keyring) -> None:
    policy = policy_of(found)
    for entry in keyring.list_all():
        for line in block(entry.key, entry.vault.label, policy).splitlines():
            logger.info("%s", line)
