"""The files of the `attest` commands: documents raw or in base64, roots, manifests, and `-` for a pipe.

For a document, a statement or metadata the whole answer of `GET /keys/PKH/attestation` will do.
"""

import base64
import binascii
import re
from pathlib import Path
from typing import Any

import click

from cli import asking
from signatory.errors import MalformedError
from signatory.nitro import certchain, manifest, texts
from signatory.nitro.birth_metadata import statement_of
from signatory.nitro.manifest import Manifest
from signatory.tezos.keys import PublicKey

PIPE = "-"
ATTESTATION, STATEMENT, METADATA, HASH = "attestation", "statement", "metadata", "public_key_hash"
ANSWER = {ATTESTATION, STATEMENT, METADATA, HASH}
"""The fields of the answer, and no others."""

_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{64}")
_OTHER_ALPHABET = bytes.maketrans(b"-_", b"+/")


def check_pipes(*names: str | None) -> None:
    """Raises UsageError where two files would be standard input."""
    if names.count(PIPE) > 1:
        raise click.UsageError("only one file can be standard input")


def read(name: str, what: str) -> bytes:
    """The whole file, or standard input for `-`. Raises ConfigError."""
    return asking.read_pipe() if name == PIPE else asking.read_file(Path(name), what)


def binary(name: str, what: str, part: str = ATTESTATION) -> bytes:
    """What a file holds, raw or in base64 of either alphabet, with or without newlines and padding.

    A file that begins with a brace is the whole answer, of which `part` is taken.

    CBOR of an attestation document or a statement always has bytes that are no ASCII, so a file without any
    is text. Raises ConfigError and MalformedError.
    """
    data = read(name, what)
    if not data.strip():
        raise MalformedError(f"{what}: the file is empty")
    if data.lstrip().startswith(b"{"):
        return _part(data, what, part)
    if not data.isascii():
        return data
    text = b"".join(data.split()).translate(_OTHER_ALPHABET).rstrip(b"=")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError(f"{what}: the file is neither CBOR nor base64") from None


def root(text: str) -> bytes:
    """A root's fingerprint: 64 hex digits, with colons or not, or that of the certificate in a file.

    Raises ConfigError and MalformedError.
    """
    digits = text.replace(":", "")
    if _FINGERPRINT.fullmatch(digits):
        return bytes.fromhex(digits)
    try:
        return certchain.fingerprint(read(text, "a root certificate"))
    except MalformedError as error:
        raise MalformedError(f"{text}: {error.message}") from None


def releases(name: str) -> Manifest:
    """A release manifest. Raises ConfigError and MalformedError."""
    return manifest.load(read(name, "a release manifest"))


def metadata(name: str) -> dict[str, Any]:
    """The metadata of a key, alone or in the whole answer. Raises ConfigError and MalformedError."""
    found = _json(read(name, "the metadata"), "metadata")
    if found.keys() != ANSWER:
        return found
    told = found[METADATA]
    if not isinstance(told, dict):
        raise MalformedError("metadata: a JSON object was expected")
    said = statement_of(told)
    if found[HASH] != PublicKey(said.key_type, said.public).id:
        raise MalformedError(f"{HASH}: is not that of the key in the metadata")
    return told


def _part(data: bytes, what: str, part: str) -> bytes:
    found = _json(data, what)
    if found.keys() != ANSWER:
        raise MalformedError(f"{what}: this JSON is not the answer of GET /keys/PKH/attestation")
    return texts.base64_of(found[part], f"{what}: {part}")


def _json(data: bytes, what: str) -> dict[str, Any]:
    try:
        return texts.json_object(data)
    except MalformedError as error:
        raise MalformedError(f"{what}: {error.message}") from None
