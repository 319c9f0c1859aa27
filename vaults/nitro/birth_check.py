"""Is a birth what was asked for? Every field of it, before the key is stored or announced.

Source: docs/enclave-protocol.md, "GenerateAttested"; enclave-kms-attestation §10.5.
"""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from signatory.crypto import keypair
from signatory.crypto.curves import KeyType
from signatory.errors import IntegrityError, MalformedError
from signatory.nitro import attestation, birth, sealed
from signatory.nitro.arn import Arn
from signatory.nitro.birth import Origin, Statement
from signatory.nitro.sealed import KeyName, Scheme
from signatory.rpc.extended import Born
from signatory.tezos.keys import PublicKey
from signatory.vault import KeyBirth
from vaults.nitro.storage.record import SealedKey
from vaults.nitro.trust import Trust
from vaults.nitro.wishes import Made, Wish


@dataclass(frozen=True, slots=True)
class Asked:
    """What a birth must be. `public` is the imported key's own; None for a key that is made."""

    wish: Wish
    nonce: bytes
    kms_key: str
    """The KMS key as the configuration names it: its ARN, or its bare id."""
    public: bytes | None = None

    @property
    def origin(self) -> Origin:
        return Origin.GENERATED if self.public is None else Origin.IMPORTED


def check(born: Born, asked: Asked, trust: Trust, now: datetime) -> Made:
    """The key, ready to be stored. Raises IntegrityError that says what is another than was asked for."""
    try:
        public = _public(born.name, asked)
        statement = _statement(born, asked)
        _check_record(born, asked, statement.kms_key)
        _check_document(born.attestation, statement, asked.nonce, trust, now)
    except MalformedError as error:
        raise IntegrityError(f"the enclave's birth of a key: {error.message}") from error
    sealed_key = SealedKey(
        born.name.key_id,
        born.name.key_type,
        born.name.purpose,
        born.blob,
        public,
        str(statement.kms_key),
        statement.wrap,
        born.name.version,
        born.name.user_id,
        KeyBirth(born.statement, born.attestation),
    )
    return Made(sealed_key, public, born.handle)


def public_key(key_type: KeyType, data: bytes) -> PublicKey:
    """The public key that an enclave names. Raises IntegrityError for bytes that are none."""
    try:
        keypair.check_public(key_type, data)
        return PublicKey(key_type, data)
    except MalformedError as error:
        raise IntegrityError(f"the enclave names a public key that is none: {error.message}") from error


def _public(name: KeyName, asked: Asked) -> PublicKey:
    public = public_key(name.key_type, name.public)
    key = asked.wish.key
    named = KeyName(public.id, key.key_type, key.purpose, asked.public or name.public, user_id=key.user_id)
    if other := _first_difference(name, named):
        raise IntegrityError(f"the enclave answers for another key than it was asked for ({other})")
    return public


def _statement(born: Born, asked: Asked) -> Statement:
    found = birth.decode(born.statement)
    key = asked.wish.key
    due = Statement(
        key_type=key.key_type,
        public=born.name.public,
        wrapped=born.blob,
        kms_key=Arn.parse(born.kms_key_arn),
        created_at=found.created_at,
        wrap=asked.wish.scheme,
        origin=asked.origin,
        purpose=key.purpose,
        user_id=key.user_id,
        prev=None,
        release=found.release,
        version=born.name.version,
    )
    if other := _first_difference(found, due):
        raise IntegrityError(f"the birth statement is not of the key that was asked for ({other})")
    if asked.kms_key not in {str(found.kms_key), found.kms_key.key_id}:
        raise IntegrityError(
            f"the key is sealed by {found.kms_key}, and the configuration names {asked.kms_key}"
        )
    return found


def _check_record(born: Born, asked: Asked, kms_key: Arn) -> None:
    """A record says of itself what the statement says; the blob of kms-encrypt-v0 says nothing."""
    if asked.wish.scheme is Scheme.KMS_ENCRYPT:
        return
    record = sealed.decode(born.blob)
    sealed.check(record, born.name)
    if record.scheme is not asked.wish.scheme or record.kms_key != kms_key:
        raise IntegrityError("the sealed record is of another scheme or KMS key than its birth statement")


def _check_document(document: bytes, statement: Statement, nonce: bytes, trust: Trust, now: datetime) -> None:
    found = attestation.verify(
        document,
        root_sha256=trust.root_sha256,
        at=now,
        pcrs=trust.images or None,
        nonce=nonce,
        user_data=statement.digest(),
        allow_debug=trust.allow_debug,
    )
    if found.public_key is not None:
        raise IntegrityError("the document of a birth has a public_key: it was made for something else")
    off = statement.created_at - found.timestamp_ms
    if abs(off) > attestation.MAX_SKEW // timedelta(milliseconds=1):
        # As birth_verify: no stranger would take it, and nobody would know until one asked.
        raise IntegrityError(f"the enclave's clock is {off} ms away from the one that is attested")


def _first_difference(found: KeyName | Statement, due: KeyName | Statement) -> str | None:
    names = (each.name for each in fields(found))
    return next((name for name in names if getattr(found, name) != getattr(due, name)), None)
