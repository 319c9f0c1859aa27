"""The commands of `signatory-tools`: key pairs for clients and tests, and what a client signs.

Neither needs a configuration. Keys made here exist on standard output only.
"""

import binascii
import os
import sys
from pathlib import Path

import click

from cli import asking
from cli.commands_facts import version
from cli.commands_keys import KEY_TYPES
from cli.options import HELP
from cli.program import run
from signatory import machine
from signatory.crypto import keypair
from signatory.crypto.curves import Purpose
from signatory.crypto.keypair import KeyPair
from signatory.errors import ConfigError, MalformedError
from signatory.tezos import secrets
from signatory.tezos.auth import client_bytes
from signatory.tezos.keys import TAGS, PublicKey, PublicKeyHash, Signature

TEZOS_TYPES = {name: key_type for name, key_type in KEY_TYPES.items() if key_type in TAGS}
"""The names that `gen-key` takes: families whose keys have a text form in Tezos."""

AUTHENTICATE_EPILOG = (
    "A key given as SECRET stays in the history of the shell and shows in the list of processes: "
    "leave it out and use --secret-file, a pipe, or the prompt instead."
)


@click.group(context_settings=HELP, invoke_without_command=True)
@click.pass_context
def program(context: click.Context) -> None:
    """Key pairs, and signatures of clients that must say who they are."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@program.command("gen-key", context_settings=HELP)
@click.option("-n", "--num", default=1, show_default=True, type=click.IntRange(1), help="Number of keys.")
@click.option(
    "-t",
    "--type",
    "type_name",
    default="ed25519",
    show_default=True,
    help=f"Key type: {', '.join(TEZOS_TYPES)}.",
)
def gen_key(num: int, type_name: str) -> None:
    """Make key pairs and print them, secret keys too, unencrypted."""
    key_type = TEZOS_TYPES.get(type_name)
    if key_type is None:
        raise ConfigError(f"unknown key type: {type_name}", hint=f"use one of {', '.join(TEZOS_TYPES)}")
    machine.check()
    for _ in range(num):
        pair = keypair.generate(key_type, Purpose.TEZOS, os.urandom)
        public = PublicKey(key_type, pair.public)
        click.echo(f"Private Key:     {secrets.text(pair)}")
        click.echo(f"Public Key:      {public.text}")
        click.echo(f"Public Key Hash: {public.hash.text}\n")


@program.command(context_settings=HELP, epilog=AUTHENTICATE_EPILOG)
@click.argument("words", nargs=-1, metavar="[SECRET] PKH REQUEST")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path),
    help="File with the client's secret key: Base58, PEM or DER.",
)
@click.option(
    "--password-file", type=click.Path(path_type=Path), help="File whose first line is its password."
)
def authenticate(words: tuple[str, ...], secret_file: Path | None, password_file: Path | None) -> None:
    """Print the signature for `?authentication=`: the client's, over a request to sign with PKH.

    REQUEST is the request in hex, empty for a proof of possession.
    """
    if len(words) not in {2, 3}:
        raise click.UsageError("authenticate takes [SECRET] PKH REQUEST")
    if len(words) == 3 and secret_file is not None:
        raise click.UsageError("SECRET and --secret-file exclude each other")
    pkh, message = _hash(words[-2]), _message(words[-1])
    machine.check()
    client = _client(words[0] if len(words) == 3 else None, secret_file, password_file)
    click.echo(Signature(client.type, client.sign(client_bytes(pkh, message))).text)


def _hash(text: str) -> PublicKeyHash:
    try:
        return PublicKeyHash.parse(text)
    except MalformedError as error:
        raise MalformedError(f"PKH: {error}", hint=error.hint) from None


def _message(text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except ValueError:
        raise MalformedError(
            "REQUEST is not hex", hint="give the body of the request without its quotes, and no 0x"
        ) from None


def _client(given: str | None, file: Path | None, password_file: Path | None) -> KeyPair:
    """The client's key. Raises MalformedError, also for one that no list of clients can name."""

    def password() -> str:
        return asking.password_in(password_file) if password_file else asking.ask("Enter the password: ")

    try:
        pair = secrets.parse(_secret(given, file), password=password)
    except MalformedError as error:
        raise MalformedError(f"the client's secret key: {error}", hint=error.hint) from None
    if pair.type not in TAGS:
        raise MalformedError(
            f"{keypair.NAMES[pair.type]} keys cannot authenticate a client",
            hint=f"use a key of one of these types: {', '.join(TEZOS_TYPES)}",
        )
    return pair


def _secret(given: str | None, file: Path | None) -> bytes:
    if given is not None:
        return given.encode("utf-8", "surrogateescape")
    if file is not None:
        return asking.read_file(file, "the secret key")
    if sys.stdin.isatty():
        return asking.ask("Enter the secret key: ").encode()
    data = asking.read_pipe()
    if not data.strip():
        raise ConfigError("standard input is empty", hint="pipe the secret key in, or use --secret-file")
    return data


program.add_command(version)
program.add_command(version, "v")


def main() -> int:
    """Run the command line. Returns the exit code."""
    return run(program, "signatory-tools")
