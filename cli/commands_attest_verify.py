"""`attest verify`: whether a key was born where its birth certificate says."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import click

from cli import commands_attest_files as files
from cli import commands_attest_hints as hints
from cli import commands_attest_options as options
from cli.options import HELP, global_options
from signatory.nitro import birth_verify
from signatory.nitro.attestation import AttestationError
from signatory.nitro.birth_metadata import COMMITTED, metadata_of
from signatory.nitro.birth_verify import Birth
from signatory.nitro.manifest import Image, pinned_root
from signatory.tezos.keys import PublicKey

_INSTANCE = 4
"""The register of the instance's id."""


@click.command(context_settings=HELP)
@click.option("--birth-attestation", metavar="FILE", required=True, help="The attestation document.")
@click.option("--manifest", metavar="FILE", required=True, help="Release manifest.")
@click.option("--metadata", metavar="FILE", required=True, help="What is stored of the key.")
@click.option("--statement", metavar="FILE", help="The birth statement; must be the same.")
@click.option(
    "--root", metavar="PEM", help="The root: a file, PEM or DER, or its SHA-256. AWS's unless told."
)
@click.option("--nonce", metavar="HEX", callback=options.octets, help="The challenge that was given.")
@global_options
def verify(
    birth_attestation: str,
    manifest: str,
    metadata: str,
    statement: str | None,
    root: str | None,
    nonce: bytes | None,
) -> None:
    """Prove a birth certificate, offline, at the time it was made; print what is proved as JSON.

    Attestation and statement are files raw or in base64, metadata are JSON. Each may be the whole answer of
    GET /keys/PKH/attestation too.
    """
    files.check_pipes(birth_attestation, manifest, metadata, statement, root)
    told = files.metadata(metadata)
    document = files.binary(birth_attestation, "the birth attestation")
    releases = files.releases(manifest)
    said = None if statement is None else files.binary(statement, "the statement", files.STATEMENT)
    pinned = pinned_root(releases, None if root is None else files.root(root))
    try:
        found = birth_verify.verify(document, told, releases, statement=said, root_sha256=pinned, nonce=nonce)
    except AttestationError as error:
        error.hint = hints.other_root(error, document, pinned)
        if error.field == "user_data" and said is None:
            error.hint = "give --statement to see which field of the metadata is another one"
        raise
    click.echo(json.dumps(_report(found, told), indent=2))
    if not found.born_inside:
        click.echo("imported: whoever brought this key may still have it", err=True)


def _report(found: Birth, told: Mapping[str, Any]) -> dict[str, Any]:
    document, said = found.document, found.statement
    return {
        "verified": True,
        "born_inside": found.born_inside,
        "verified_pcrs": _hexed(sorted(found.image.pcrs.items())),
        "user_data_sha256": said.digest().hex(),
        "nitro_root_der_sha256": found.root_sha256.hex(),
        "timestamp": document.time.isoformat(),
        "module_id": document.module_id,
        "PCR4": _hexed(document.pcrs.items()).get(f"PCR{_INSTANCE}"),
        "nonce": None if document.nonce is None else document.nonce.hex(),
        "manifest": _released(found.image),
        "public_key_hash": PublicKey(said.key_type, said.public).id,
        **metadata_of(said),
        "not_certified": sorted(told.keys() - COMMITTED),
    }


def _hexed(registers: Iterable[tuple[int, bytes]]) -> dict[str, str]:
    return {f"PCR{index}": value.hex() for index, value in registers}


def _released(image: Image) -> dict[str, str | None]:
    digest = image.eif_sha256
    return {
        "version": image.version,
        "commit": image.commit,
        "eif_sha256": None if digest is None else digest.hex(),
    }
