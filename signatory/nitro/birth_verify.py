"""Whether a key was born where its certificate says: the check that a stranger makes, offline.

Source: enclave-kms-attestation §10.5. What is proved is that the code of a release put public key, wrapped
key, KMS key and owner together at that time; not that the KMS policy was, or is, a good one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from signatory.crypto.keypair import check_public
from signatory.errors import IntegrityError, MalformedError
from signatory.nitro import attestation, birth, manifest
from signatory.nitro.attestation import MAX_SKEW, AttestationError, Document
from signatory.nitro.birth import Origin, Statement
from signatory.nitro.birth_metadata import metadata_of, statement_of
from signatory.nitro.manifest import Image, Manifest

__all__ = ["Birth", "BirthError", "metadata_of", "statement_of", "verify"]

_NAMES = {"key_type": "alg", "public": "public_key", "wrapped": "wrapped_dk", "kms_key": "kms_key_arn"}
"""What the fields of a Statement are called in metadata, where that is something else."""


class BirthError(IntegrityError):
    """What is stored of a key is not what was certified; `field` names it, as the metadata do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"birth certificate: {field}: {message}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Birth:
    """What is proved of a key."""

    statement: Statement
    document: Document
    image: Image
    """The release that certified it."""
    root_sha256: bytes

    @property
    def born_inside(self) -> bool:
        """Whether the enclave made the key. An imported one is known to whoever brought it."""
        return self.statement.origin is Origin.GENERATED


def verify(
    document: bytes,
    metadata: Mapping[str, Any],
    releases: Manifest,
    *,
    statement: bytes | None = None,
    root_sha256: bytes | None = None,
    nonce: bytes | None = None,
) -> Birth:
    """Prove that the attestation `document` certifies what is stored of a key: `metadata`, as `metadata_of`.

    The statement is made again of the metadata; one that is given must be the same, byte for byte. The
    document must be of a release that was good at the document's own time, never of a debug enclave; its
    root is `manifest.pinned_root`. `nonce` None takes any challenge or none.

    Raises MalformedError, AttestationError and BirthError, which name the field, and ConfigError for two
    roots.
    """
    root = manifest.pinned_root(releases, root_sha256)
    told = statement_of(metadata)
    if statement is not None:
        _compare(told, statement)
    try:
        check_public(told.key_type, told.public)
    except MalformedError as error:
        raise BirthError("public_key", error.message) from None
    found = attestation.verify(document, root_sha256=root, nonce=nonce)
    if found.user_data != told.digest():
        raise AttestationError("user_data", "is not the SHA-256 of the statement that the metadata make")
    if found.public_key is not None:
        raise AttestationError("public_key", "is set: that of KMS or of a connection, not of a birth")
    image = releases.match(found)
    _check_told(told, found, image, releases)
    return Birth(told, found, image, root)


def _compare(told: Statement, statement: bytes) -> None:
    """Raises BirthError naming the first field in which the metadata are not the statement.

    A statement has one form only, so equal fields are equal bytes.
    """
    said = birth.decode(statement)
    for each in fields(Statement):
        if getattr(said, each.name) != getattr(told, each.name):
            name = _NAMES.get(each.name, each.name)
            raise BirthError(name, "the metadata say another one than the statement")


def _check_told(told: Statement, found: Document, image: Image, releases: Manifest) -> None:
    """What the enclave said by its own clock and configuration, against what is signed and released."""
    off = told.created_at - found.timestamp_ms
    if abs(off) > MAX_SKEW // timedelta(milliseconds=1):
        raise BirthError("created_at", f"is {off} ms away from the document's timestamp")
    created = found.time + timedelta(milliseconds=off)
    if image.not_before is not None and created < image.not_before:
        raise BirthError("created_at", f"is before {image.not_before.isoformat()}, the release's not_before")
    if releases.partition not in (None, told.kms_key.partition):
        raise BirthError(
            "kms_key_arn", f"is of {told.kms_key.partition}, the manifest is of {releases.partition}"
        )
