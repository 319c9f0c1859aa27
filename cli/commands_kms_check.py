"""`kms-check`: the real calls to KMS, by enclave, parent and gateway, judged by what comes of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from cli import prepare
from cli.asking import Terminal
from cli.commands_kms_policy import context_keys_option, v0_option
from cli.kms_check import aws, inside, outside, probe
from cli.kms_check.aws import Caller
from cli.kms_check.probe import Probe
from cli.kms_check.rows import Row, all_good, table
from cli.options import HELP, global_options, settings
from signatory.errors import ConfigError
from signatory.net.aws import AwsCredentials
from signatory.nitro.kms import Arn
from signatory.vault import Registration
from vaults.nitro.config import NitroConfig
from vaults.nitro.credentials import credentials

HAPPY, GATEWAY, PARENT, CONTEXT = "happy-path", "gateway-iam", "nitro-host-parent", "encryption-context"
_FILE = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say, but for the mode."""

    key: Arn | None
    context_keys: tuple[str, ...]
    kms_encrypt_v0: bool
    vault: Registration | None
    region: str | None
    endpoint: str | None
    ca: Path | None
    credentials_file: Path | None
    profile: str | None
    ciphertext: Path | None

    def kms_key(self) -> Arn:
        """As given, else the vault's. Raises ConfigError."""
        if self.key is not None:
            return self.key
        if self.vault is not None:
            return Arn.parse(inside.nitro(self.vault).encryption_key_id)
        raise click.UsageError("name the KMS key by --key ARN, or a vault that has one by --vault NAME")

    def trial_ciphertext(self) -> Probe:
        """As given, else from the vault's store. Raises ConfigError."""
        if self.ciphertext is not None:
            return probe.read(self.ciphertext)
        keys = asyncio.run(inside.stored(self.vault)) if self.vault is not None else ()
        if not keys:
            raise ConfigError(
                "there is no ciphertext to try Decrypt with",
                hint=f"--mode {HAPPY} --save-ciphertext FILE makes one; give it by --ciphertext FILE",
            )
        return probe.of_key(keys[0])

    def caller(self) -> Caller:
        """Whoever the options name; without them the vault's credentials, then boto3's default chain."""
        return Caller.open(
            region=self.region or self.kms_key().region,
            endpoint=self.endpoint,
            ca=self.ca,
            credentials=self._credentials(),
            profile=self.profile,
        )

    def _credentials(self) -> AwsCredentials | None:
        if self.credentials_file is not None:
            return aws.read_credentials(self.credentials_file)
        if self.vault is None or self.profile is not None:
            return None
        found = asyncio.run(credentials(inside.nitro(self.vault)))
        return AwsCredentials(found.access_key_id, found.secret_access_key, found.session_token)


@click.command("kms-check", context_settings=HELP)
@click.option(
    "--mode", required=True, type=click.Choice([HAPPY, GATEWAY, PARENT, CONTEXT]), help="Which calls to make."
)
@click.option("--key", metavar="ARN", help="The KMS key; the vault's unless told.")
@click.option(
    "-v", "--vault", metavar="NAME", help="A nitro vault of the configuration: enclave, key, credentials."
)
@context_keys_option
@v0_option
@click.option("--region", help="The key's, as its ARN says it, unless told.")
@click.option("--endpoint", metavar="URL", help="KMS's own unless told.")
@click.option("--ca", type=_FILE, help="PEM of the authority behind the endpoint's certificate.")
@click.option("--credentials-file", type=_FILE, help="JSON as `aws sts assume-role` prints it.")
@click.option("--profile", help="A profile of AWS's own configuration.")
@click.option("--ciphertext", type=_FILE, help="What Decrypt is tried with, as --save-ciphertext wrote it.")
@click.option("--save-ciphertext", type=_FILE, help=f"Write one for the other modes ({HAPPY}).")
@global_options
def kms_check(  # noqa: PLR0913 - one option each
    mode: str,
    key: str | None,
    vault: str | None,
    context_keys: tuple[str, ...],
    *,
    kms_encrypt_v0: bool,
    region: str | None,
    endpoint: str | None,
    ca: Path | None,
    credentials_file: Path | None,
    profile: str | None,
    ciphertext: Path | None,
    save_ciphertext: Path | None,
) -> int:
    """Make the calls to KMS that must work and those that must not; exit code 1 unless all come out so.

    happy-path: the enclave seals a throw-away key and opens it again. gateway-iam: these credentials must
    not reach the key. nitro-host-parent: the enclave's role without a document must be refused by the key's
    policy. encryption-context: a missing or wrong context must be refused; with --vault also by an enclave.
    """
    if (vault is not None or mode == HAPPY) and not settings().config:
        raise click.UsageError("a vault needs a configuration: give -c FILE")
    asked = Asked(
        Arn.parse(key) if key else None,
        context_keys or ("key_id",),
        kms_encrypt_v0,
        _registration(vault) if vault is not None or mode == HAPPY else None,
        region,
        endpoint,
        ca,
        credentials_file,
        profile,
        ciphertext,
    )
    rows, made = _run(mode, asked)
    click.echo("\n".join(table(rows)))
    if save_ciphertext is not None and made is not None:
        probe.write(save_ciphertext, made)
    return 0 if all_good(rows) else 1


def _run(mode: str, asked: Asked) -> tuple[Sequence[Row], Probe | None]:
    """The rows, and a ciphertext of a key that the enclave made, if it did."""
    key = asked.kms_key()
    if mode == GATEWAY:
        return list(outside.gateway(asked.caller(), key, asked.trial_ciphertext())), None
    if mode == PARENT:
        trial = asked.trial_ciphertext()
        v0 = asked.kms_encrypt_v0
        return list(outside.parent(asked.caller(), key, trial, kms_encrypt_v0=v0)), None
    if asked.vault is None:
        return list(outside.contexts(asked.caller(), key, asked.trial_ciphertext())), None
    act = inside.happy_path if mode == HAPPY else inside.contexts
    found = asyncio.run(act(asked.vault, key, asked.context_keys))
    made = probe.of_key(found.keys[0]) if found.keys else None
    if mode == HAPPY or made is None:
        return found.rows, made
    return [*found.rows, *outside.contexts(asked.caller(), key, made)], made


def _registration(name: str | None) -> Registration:
    """The vault of this name, else the only one with an enclave. Raises ConfigError."""
    found = prepare.ready(settings())
    with Terminal() as terminal:
        known = prepare.registrations(found, settings(), terminal)
    if name is not None:
        for each in known:
            if each.name == name:
                return each
        names = ", ".join(each.name for each in known) or "none"
        raise ConfigError(f"vault {name} is not found", hint=f"configured: {names}")
    nitro = [each for each in known if isinstance(each.config, NitroConfig)]
    if len(nitro) != 1:
        raise ConfigError(f"the configuration has {len(nitro)} nitro vaults", hint="name one by --vault NAME")
    return nitro[0]
