"""`list` and `generate`."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import click

from cli import prepare
from cli.asking import Terminal
from cli.listing import block
from cli.options import HELP, Settings, global_options, settings
from cli.program import failed
from signatory.config.load import Config, policy_of
from signatory.crypto.curves import KeyType, Purpose, default_purpose
from signatory.errors import ConfigError, SignatoryError
from signatory.nitro.sealed import check_user_id
from signatory.policy.values import Policy
from signatory.vault import Generator, Registration, TenantGenerator, Vault, VaultKey

logger = logging.getLogger(__name__)

MANY = 100
"""Keys from which on progress is told where nobody sits at a terminal."""

KEY_TYPES = {
    "tz1": KeyType.ED25519,
    "tz2": KeyType.SECP256K1,
    "tz3": KeyType.P256,
    "tz4": KeyType.BLS,
    "tz5": KeyType.MLDSA44,
    **{key_type.value: key_type for key_type in KeyType},
}


@click.command("list", context_settings=HELP)
@global_options
def list_keys() -> int:
    """Show the keys of every vault, and what each may sign."""
    found = prepare.ready(settings())
    return asyncio.run(_list(found, settings()))


async def _list(found: Config, given: Settings) -> int:
    policy, code = policy_of(found), 0
    with Terminal() as terminal:
        for registration in prepare.registrations(found, given, terminal):
            try:
                async with prepare.opened(registration) as vault:
                    keys = await vault.list()
            except SignatoryError as error:
                code = failed(f"vault {registration.name}: {error}", error.hint)
                continue
            if not keys:
                logger.error("No valid keys found in the vault %s", registration.name)
            for key in keys:
                click.echo(block(key, vault.label, policy), nl=False)
    return code


@click.command(context_settings=HELP)
@click.option("-v", "--vault", "vault_name", required=True, metavar="NAME", help="Vault that makes the keys.")
@click.option("-n", "--num", default=1, show_default=True, type=click.IntRange(1), help="Number of keys.")
@click.option(
    "-t",
    "--type",
    "type_name",
    default="ed25519",
    show_default=True,
    help=f"Key type: {', '.join(KEY_TYPES)}.",
)
@click.option(
    "--purpose",
    "purpose_name",
    type=click.Choice([Purpose.TEZOS.value, Purpose.RAW.value]),
    help="What the keys sign: by the rules of Tezos, or each message as it is.  [default: by the type]",
)
@click.option("--user-id", metavar="ID", help="Tenant that owns the keys; sealed with them.")
@global_options
def generate(vault_name: str, num: int, type_name: str, purpose_name: str | None, user_id: str | None) -> int:
    """Make keys inside a vault and show their public parts."""
    if type_name not in KEY_TYPES:
        raise ConfigError(f"unknown key type: {type_name}", hint=f"use one of {', '.join(KEY_TYPES)}")
    key_type = KEY_TYPES[type_name]
    purpose = Purpose(purpose_name) if purpose_name else default_purpose(key_type)
    wish = _Wish(key_type, purpose, user_id if user_id is None else check_user_id(user_id))
    found = prepare.ready(settings())
    with Terminal() as terminal:
        registration = prepare.named(prepare.registrations(found, settings(), terminal), vault_name)
        return asyncio.run(_generate(registration, wish, num, policy_of(found)))


@dataclass(frozen=True, slots=True)
class _Wish:
    """What kind of key is asked for."""

    key_type: KeyType
    purpose: Purpose
    user_id: str | None

    def maker(self, registration: Registration, vault: Vault) -> Callable[[], Awaitable[VaultKey]]:
        """What makes one key. Raises ConfigError where the vault cannot."""
        if not isinstance(vault, Generator):
            raise ConfigError(f"import: vault {registration.name} doesn't support generate operation")
        if self.user_id is None:
            return lambda: vault.generate(self.key_type, self.purpose, prepare.call())
        return self._tenants_maker(registration.name, vault, self.user_id)

    def _tenants_maker(self, name: str, vault: object, user_id: str) -> Callable[[], Awaitable[VaultKey]]:
        if not isinstance(vault, TenantGenerator):
            raise ConfigError(
                f"vault {name} doesn't make keys for tenants",
                hint="leave --user-id out, or name a vault of the driver nitro",
            )
        return lambda: vault.generate_for(user_id, self.key_type, self.purpose, prepare.call())


async def _generate(registration: Registration, wish: _Wish, number: int, policy: Policy) -> int:
    async with prepare.opened(registration) as vault:
        make = wish.maker(registration, vault)
        before = {key.id for key in await vault.list()}
        made: list[VaultKey] = []
        try:
            for _ in range(number):
                key = await make()
                made.append(key)
                click.echo(block(key, vault.label, policy), nl=False)
                _progress(len(made), number)
        except SignatoryError as error:
            failed(str(error), error.hint)
            return _account(*await _which_exist(vault, before, made), number, registration.name)
        except asyncio.CancelledError:
            _account([key.id for key in made], "one more may exist, see `list`", number, registration.name)
            raise
    return 0


def _progress(made: int, number: int) -> None:
    """On a terminal a line that counts; elsewhere, where keys are many, a line for each tenth of them."""
    if number > 1 and sys.stderr.isatty():
        click.echo(f"\r{made} of {number} keys", err=True, nl=made == number)
    elif number >= MANY and made * 10 // number > (made - 1) * 10 // number:
        click.echo(f"{made} of {number} keys", err=True)


async def _which_exist(vault: Vault, before: set[str], made: list[VaultKey]) -> tuple[list[str], str]:
    """The new keys after a failure: what the vault lists now, else what it told before and a doubt."""
    known = [key.id for key in made]
    try:
        after = [key.id for key in await vault.list()]
    except SignatoryError:
        return known, "one more may exist, the vault does not answer"
    return known + [name for name in after if name not in before and name not in known], ""


def _account(exist: list[str], doubt: str, number: int, vault_name: str) -> int:
    end = f" ({doubt})" if doubt else ""
    click.echo(f"{len(exist)} of {number} keys were made and exist in vault {vault_name}{end}", err=True)
    for name in exist:
        click.echo(f"    {name}", err=True)
    return 1
