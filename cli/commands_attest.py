"""`attest inspect | check | verify`: documents of Nitro enclaves, offline. No configuration is read."""

import json
from collections.abc import Mapping
from datetime import datetime

import click

from cli import commands_attest_files as files
from cli import commands_attest_hints as hints
from cli import commands_attest_options as options
from cli import commands_attest_shown as shown
from cli.commands_attest_verify import verify
from cli.options import HELP, global_options
from signatory.nitro import attestation
from signatory.nitro.attestation import AttestationError, Document, ExpiredError
from signatory.nitro.manifest import Image, pinned_root

NOT_VERIFIED = "NOT VERIFIED: this is what the document says, not what is true"
UNPINNED = "nothing pins the PCRs: a document of anybody's image would pass; give --manifest or --pcr"


@click.group(context_settings=HELP)
@global_options
def attest() -> None:
    """Read attestation documents of Nitro enclaves, and prove them."""


@attest.command(context_settings=HELP)
@click.argument("file", metavar="FILE|-")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@global_options
def inspect(file: str, *, as_json: bool) -> None:
    """Print what the document in FILE, raw or base64, says. Nothing of it is verified."""
    document = attestation.parse(files.binary(file, "the attestation document"))
    if as_json:
        click.echo(json.dumps({"verified": False, **shown.facts(document)}, indent=2))
        return
    click.echo("\n".join((NOT_VERIFIED, *shown.lines(document), NOT_VERIFIED)))


@attest.command(context_settings=HELP)
@click.argument("file", metavar="FILE|-")
@click.option(
    "--time",
    "at",
    metavar="now|document|EPOCH",
    default=options.NOW,
    show_default=True,
    callback=options.moment,
    help="When its certificates must be valid: now, when it was made, or a second since 1970.",
)
@click.option(
    "--root", metavar="PEM", help="The root: a file, PEM or DER, or its SHA-256. AWS's unless told."
)
@click.option(
    "--pcr", "pcrs", metavar="N=HEX", multiple=True, callback=options.pcrs, help="What a register must be."
)
@click.option(
    "--manifest", metavar="FILE", help="Release manifest; the document must be of one of its images."
)
@click.option("--nonce", metavar="HEX", callback=options.octets, help="What its nonce must be.")
@click.option("--user-data", metavar="HEX", callback=options.octets, help="What its user_data must be.")
@click.option("--allow-debug", is_flag=True, help="Take documents of debug enclaves, and zeros in --pcr.")
@global_options
def check(  # noqa: PLR0913 - one option each
    file: str,
    at: datetime | None,
    root: str | None,
    pcrs: Mapping[int, bytes],
    manifest: str | None,
    nonce: bytes | None,
    user_data: bytes | None,
    *,
    allow_debug: bool,
) -> None:
    """Prove the document in FILE, raw or base64. Exit code 0, or 1 with the reason on standard error."""
    files.check_pipes(file, manifest, root)
    releases = None if manifest is None else files.releases(manifest)
    pinned = pinned_root(releases, None if root is None else files.root(root))
    data = files.binary(file, "the attestation document")
    try:
        document = attestation.verify(
            data,
            root_sha256=pinned,
            at=at,
            pcrs=pcrs or None,
            nonce=nonce,
            user_data=user_data,
            allow_debug=allow_debug,
        )
    except ExpiredError as error:
        error.hint = "--time document judges a stored document at the time it was made"
        raise
    except AttestationError as error:
        error.hint = hints.other_root(error, data, pinned)
        raise
    image = None if releases is None else releases.match(document)
    click.echo("\n".join(_report(document, pinned, at or document.time, image)))
    if image is None and not pcrs:
        click.echo(UNPINNED)


def _report(document: Document, root: bytes, at: datetime, image: Image | None) -> list[str]:
    found = [
        shown.row("verified", f"at {at.isoformat()}"),
        shown.row("root", root.hex()),
        shown.row("module", document.module_id),
        shown.row("timestamp", document.time.isoformat()),
        *shown.registers(document.pcrs),
    ]
    if document.debug:
        found.append(shown.row("debug", "a debug enclave: nothing says which code ran"))
    if image is not None:
        found.append(shown.row("release", image.name))
    return found


attest.add_command(verify)
