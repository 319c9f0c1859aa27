"""`import`: a key made elsewhere goes into a vault. What is secret is never printed, logged or echoed."""

import asyncio
import functools
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from cli import asking, prepare
from cli.import_options import parse_options
from cli.options import HELP, global_options, settings
from cli.program import failed
from signatory.crypto.keypair import KeyPair
from signatory.errors import ConfigError, MalformedError, SignatoryError
from signatory.tezos import secrets
from signatory.tezos.keys import PublicKey
from signatory.vault import Importer, Registration

logger = logging.getLogger(__name__)

EPILOG = (
    "A key given as KEY stays in the history of the shell and shows in the list of processes: "
    "use -f, a pipe, or the prompt instead. For --password, use --password-file or the prompt."
)


@click.command("import", context_settings=HELP, epilog=EPILOG)
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("-v", "--vault", "vault_name", required=True, metavar="NAME", help="Vault that takes the key.")
@click.option(
    "-f", "--from", "file", type=click.Path(path_type=Path), help="File with the key: PEM, DER or Base58."
)
@click.option("--password", metavar="TEXT", help="Password of an encrypted key.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    help="File whose first line is the password of an encrypted key.",
)
@click.option("-o", "--opt", "opts", multiple=True, metavar="NAME:VALUE[,...]", help="Options of the vault.")
@global_options
def import_key(
    keys: tuple[str, ...],
    vault_name: str,
    file: Path | None,
    password: str | None,
    password_file: Path | None,
    opts: tuple[str, ...],
) -> int:
    """Put secret keys into a vault: from KEY, from a file, from a pipe, or typed at the prompt."""
    if password is not None and password_file is not None:
        raise click.UsageError("--password and --password-file exclude each other")
    if keys and file is not None:
        raise click.UsageError("KEY and --from exclude each other")
    options = parse_options(opts)
    found = prepare.ready(settings())
    registration = prepare.named(prepare.registrations(found, settings(), asking.Terminal()), vault_name)
    for name in options:
        logger.warning("option `%s` has no meaning for vault %s", name, vault_name)
    asked = _password(password, password_file)
    pairs = _pairs(_secrets(keys, file), asked)
    return asyncio.run(_import(registration, pairs))


def _pairs(given: Sequence[bytes], password: Callable[[], str]) -> list[KeyPair]:
    """All keys, read. Raises as `secrets.parse`; of several keys the error says which, counted from 1."""
    pairs = []
    for number, secret in enumerate(given, 1):
        try:
            pairs.append(secrets.parse(secret, password=password))
        except MalformedError as error:
            if len(given) == 1:
                raise
            raise MalformedError(f"key {number} of {len(given)}: {error}", hint=error.hint) from None
    return pairs


async def _import(registration: Registration, pairs: Sequence[KeyPair]) -> int:
    async with prepare.opened(registration) as vault:
        if not isinstance(vault, Importer):
            raise ConfigError(f"import: vault {registration.name} doesn't support import operation")
        for done, pair in enumerate(pairs):
            logger.info("Requesting import operation", extra={"vault_name": registration.name})
            try:
                key = await vault.import_key(pair, prepare.call())
            except SignatoryError as error:
                failed(str(error), error.hint)
                return _account(pairs, done, registration.name)
            logger.info("Successfully imported", extra={"vault_name": registration.name, "pkh": key.id})
    return 0


def _account(pairs: Sequence[KeyPair], done: int, vault_name: str) -> int:
    """Of several keys: which are in the vault, which it refused, which it was not asked for."""
    if len(pairs) > 1:
        click.echo(f"{done} of {len(pairs)} keys were imported into vault {vault_name}", err=True)
        for number, pair in enumerate(pairs):
            state = "imported" if number < done else "failed" if number == done else "not tried"
            click.echo(f"    {PublicKey(pair.type, pair.public).id} {state}", err=True)
    return 1


def _password(text: str | None, file: Path | None) -> Callable[[], str]:
    """Asked at most once, however many keys are encrypted."""
    if text is not None:
        return lambda: text
    if file is not None:
        return functools.cache(lambda: asking.password_in(file))
    return functools.cache(lambda: asking.ask("Enter the password: "))


def _secrets(keys: Sequence[str], file: Path | None) -> list[bytes]:
    if keys:
        return [key.encode() for key in keys]
    if file is not None:
        return [asking.read_file(file, "the key")]
    if sys.stdin.isatty():
        return [asking.ask("Enter the secret key: ").encode()]
    data = asking.read_pipe()
    if not data.strip():
        raise ConfigError("standard input is empty", hint="pipe a key in, or name a file with -f")
    return [data] if data.startswith(b"0") or b"-----BEGIN" in data else data.split()
