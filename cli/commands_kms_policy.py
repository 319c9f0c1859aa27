"""`kms-policy`: write the key policy of an enclave, compare two, and try one. Nothing is asked of AWS."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cli import asking
from cli.options import HELP, global_options
from signatory.errors import ConfigError, MalformedError
from signatory.files import replace_durably
from signatory.nitro import keypolicy, manifest
from signatory.nitro.arn import Arn
from signatory.nitro.attestation import PCR_COUNT, PCR_LENGTH
from signatory.nitro.keypolicy_build import PRODUCT_CONTEXTS
from signatory.nitro.keypolicy_diff import Change, compare
from signatory.nitro.keypolicy_simulate import Row, simulate, subject_of
from signatory.nitro.texts import hex_of

_FILE = click.Path(path_type=Path, dir_okay=False)
_Images = tuple[Mapping[int, bytes], ...]


def _context_keys(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    names = tuple(name.strip() for name in value.split(","))
    if not set(names) <= set(PRODUCT_CONTEXTS) or len(set(names)) != len(names):
        known = " or ".join(PRODUCT_CONTEXTS)
        raise click.BadParameter(f"one or both of {known} were expected", context, parameter)
    return names


_manifest = click.option("--manifest", "manifest_file", type=_FILE, help="Release manifest with the images.")
_pcr = click.option(
    "--pcr",
    "pcrs",
    multiple=True,
    metavar="N=HEX",
    help="A register of an image, instead of a manifest; a register that was given starts the next image.",
)
context_keys_option = click.option(
    "--context-keys",
    callback=_context_keys,
    metavar="NAMES",
    help="What the encryption context has: user_id (tenants' keys), key_id (others), or either of both.",
)
v0_option = click.option(
    "--kms-encrypt-v0", is_flag=True, help="The role may also call Encrypt, as the reference's scheme needs."
)


@click.group("kms-policy", context_settings=HELP)
@global_options
def kms_policy() -> None:
    """Write, compare and try the policy of the KMS key behind an enclave; offline."""


@kms_policy.command(context_settings=HELP)
@_manifest
@_pcr
@click.option("--account", required=True, metavar="ID", help="The key's AWS account, 12 digits.")
@click.option(
    "--enclave-role", required=True, metavar="ARN", help="The role whose credentials the enclave has."
)
@click.option(
    "--administrator",
    "administrators",
    multiple=True,
    metavar="ARN",
    help="Who manages the key and cannot use it; the account's root unless told.",
)
@context_keys_option
@v0_option
@click.option("-o", "--output", type=_FILE, help="Write to this file instead of standard output.")
@global_options
def build(  # noqa: PLR0913 - one option each
    manifest_file: Path | None,
    pcrs: tuple[str, ...],
    account: str,
    enclave_role: str,
    administrators: tuple[str, ...],
    context_keys: tuple[str, ...],
    *,
    kms_encrypt_v0: bool,
    output: Path | None,
) -> None:
    """Print the policy of a key that opens to these images alone."""
    policy = keypolicy.build(
        account=account,
        enclave_role=enclave_role,
        images=_images(manifest_file, pcrs),
        administrators=administrators,
        context_keys=context_keys or ("key_id",),
        kms_encrypt_v0=kms_encrypt_v0,
    )
    owner = enclave_role.split(":")[4]
    if owner != account:
        click.echo(
            f"warning: the role is of account {owner}, the key of {account}: an IAM policy in {owner} must "
            "allow the calls too",
            err=True,
        )
    text = json.dumps(policy, indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        replace_durably(output, text.encode())


@kms_policy.command(context_settings=HELP)
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
@global_options
def diff(before: Path, after: Path) -> int:
    """Say what opens and what closes from policy BEFORE to AFTER; exit code 1 when they differ.

    Order, Sids, and how statements are cut make no difference.
    """
    changes = compare(_policy(before), _policy(after))
    for change in changes:
        click.echo("\n".join(_told(change)))
    if not changes:
        click.echo("The two policies mean the same.")
    return 1 if changes else 0


@kms_policy.command("simulate", context_settings=HELP)
@click.argument("policy", type=_FILE)
@click.option("--role", metavar="ARN", help="The enclave's role; the one that the policy names unless told.")
@_manifest
@_pcr
@context_keys_option
@v0_option
@click.option("--key", metavar="ARN", help="The key's ARN, for policies that name their key.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@global_options
def simulate_policy(  # noqa: PLR0913 - one option each
    policy: Path,
    role: str | None,
    manifest_file: Path | None,
    pcrs: tuple[str, ...],
    context_keys: tuple[str, ...],
    *,
    kms_encrypt_v0: bool,
    key: str | None,
    as_json: bool,
) -> int:
    """Try every call that a policy must allow or refuse; exit code 1 unless all come out so.

    POLICY may be made by hand. Role, images and context keys are read from it where they are not given.
    """
    document = _policy(policy)
    subject = subject_of(
        document,
        role=role,
        images=_images(manifest_file, pcrs) if manifest_file or pcrs else (),
        context_keys=context_keys,
        kms_encrypt_v0=kms_encrypt_v0,
        key=str(Arn.parse(key)) if key else None,
    )
    rows = simulate(document, subject)
    good = all(row.as_expected for row in rows)
    if as_json:
        click.echo(json.dumps({"as_expected": good, "rows": [row.as_json() for row in rows]}, indent=2))
    else:
        click.echo("\n".join(_table(rows)))
    return 0 if good else 1


def _policy(path: Path) -> Mapping[str, Any]:
    try:
        return keypolicy.load(asking.read_file(path, "the key policy"))
    except MalformedError as error:
        raise MalformedError(f"{path}: {error.message}", hint=error.hint) from None


def _images(manifest_file: Path | None, pcrs: Sequence[str]) -> _Images:
    """Those of the manifest that are good now, or those given. Raises ConfigError, MalformedError."""
    if manifest_file is None and not pcrs:
        raise click.UsageError("name the images by --manifest or by --pcr: one of them is needed")
    if manifest_file is not None and pcrs:
        raise click.UsageError("name the images by --manifest or by --pcr, not both")
    if manifest_file is not None:
        loaded = manifest.load(asking.read_file(manifest_file, "the release manifest"))
        return loaded.registers(datetime.now(UTC))
    images: list[dict[int, bytes]] = []
    for text in pcrs:
        index, value = _register(text)
        if not images or index in images[-1]:
            images.append({})
        images[-1][index] = value
    return tuple(images)


def _register(text: str) -> tuple[int, bytes]:
    name, _, digits = text.partition("=")
    if not (name.isascii() and name.isdigit() and len(name) <= 2 and int(name) < PCR_COUNT):
        raise ConfigError(f"--pcr {text[:32]!r}: N=HEX was expected, N from 0 to {PCR_COUNT - 1}")
    return int(name), hex_of(digits, f"--pcr {name}", PCR_LENGTH)


def _told(change: Change) -> Iterator[str]:
    yield f"{'opens ' if change.opens else 'closes'}  {change.text}"
    for word, condition in zip(["if", *["and"] * len(change.conditions)], change.conditions, strict=False):
        yield f"          {word:>3} {condition}"


def _table(rows: Sequence[Row]) -> Iterator[str]:
    texts = [
        (
            row.expected,
            row.verdict,
            row.statement or "-",
            row.case.action.removeprefix("kms:"),
            row.case.caller,
        )
        for row in rows
    ]
    head = ("expected", "verdict", "statement", "action", "caller")
    widths = [max(map(len, column)) for column in zip(head, *texts, strict=True)]
    yield _line("", head, widths, "call")
    for row, cells in zip(rows, texts, strict=True):
        yield _line("ok" if row.as_expected else "NOT", cells, widths, row.case.situation)
    wrong = sum(not row.as_expected for row in rows)
    yield f"{len(rows)} calls, {wrong or 'none'} not as expected"


def _line(mark: str, cells: Sequence[str], widths: Sequence[int], last: str) -> str:
    padded = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)]
    return "  ".join([f"{mark:<3}", *padded, last]).rstrip()
