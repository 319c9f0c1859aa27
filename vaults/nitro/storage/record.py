"""Sealed keys as values, and the fields that every store keeps of them, whatever its own form.

A record describes itself. For the schemes with sealed records everything it says stands in the sealed record
too, where the enclave authenticates it; a record that says otherwise is refused. Source: design, key stores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from signatory.crypto.curves import KeyType, Purpose, default_purpose
from signatory.errors import MalformedError
from signatory.nitro import birth as births
from signatory.nitro import sealed
from signatory.nitro.sealed import KeyName, Scheme
from signatory.tezos.keys import TAGS, PublicKey
from signatory.vault import KeyBirth

VERSION = 2
BEFORE = 1
"""The form of earlier releases: `kms-encrypt-v0` only, without key_version, user_id and birth."""
BIRTH_VERSION = 1

REFERENCE_TYPES = frozenset(TAGS) - {KeyType.MLDSA44}
"""The families that Signatory reads; it fails on any other record."""

BLOB, STATEMENT, ATTESTATION = "sealed_key", "birth_statement", "birth_attestation"
BINARY = (BLOB, STATEMENT, ATTESTATION)
"""The fields that are bytes; every other one is a text or a number."""

Fields = dict[str, str | int | bytes]


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A key that only the enclave can open. `public` is None where the record names a hash alone."""

    id: str
    type: KeyType
    purpose: Purpose
    blob: bytes = field(repr=False)
    public: PublicKey | None = None
    kms_key_arn: str = ""
    """The KMS key that seals it; for `kms-encrypt-v0` as the configuration named it, or empty."""
    scheme: Scheme = Scheme.KMS_ENCRYPT
    version: int = 1
    """Counts up each time the same key is sealed anew."""
    user_id: str | None = None
    birth: KeyBirth | None = field(default=None, repr=False)

    @classmethod
    def of_blob(cls, blob: bytes, birth: KeyBirth | None = None) -> "SealedKey":
        """What a sealed record says of its own key. Raises MalformedError that names the field."""
        record = sealed.decode(blob)
        name = record.name
        public = PublicKey(name.key_type, name.public)
        if public.id != name.key_id:
            raise MalformedError("sealed record: key_id does not belong to the public key")
        return cls(
            name.key_id,
            name.key_type,
            name.purpose,
            blob,
            public,
            str(record.kms_key),
            record.scheme,
            name.version,
            name.user_id,
            birth,
        )

    @property
    def is_reference(self) -> bool:
        """Whether it belongs where Signatory reads."""
        return (
            self.type in REFERENCE_TYPES
            and self.purpose is Purpose.TEZOS
            and self.scheme is Scheme.KMS_ENCRYPT
        )

    @property
    def name(self) -> KeyName:
        """Which key the enclave must find in the blob; its public part is empty where it is not known."""
        public = self.public.data if self.public else b""
        return KeyName(self.id, self.type, self.purpose, public, self.version, self.user_id)


@dataclass(frozen=True, slots=True)
class Stock:
    """What a store holds: the keys in its order, and a sentence for all that had to be left out."""

    keys: tuple[SealedKey, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A key that was read, and why the birth in its record was left out, if it was."""

    key: SealedKey
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Born:
    """A birth that stands apart from its key; it belongs to the key `id` while its blob is `wrapped`."""

    id: str
    wrapped: bytes = field(repr=False)
    birth: KeyBirth = field(repr=False)


def fields_of(key: SealedKey) -> Fields:
    """A record of the present version. Raises MalformedError for a key that would not come back from it."""
    found: Fields = {"version": VERSION, **_described(key), BLOB: key.blob, **_birth_fields(key)}
    back = found_in(found)
    if back.key != key:
        raise MalformedError(
            f"{key.id} cannot be stored: {back.problem or 'its record would say something else'}"
        )
    return found


def key_of(found: Mapping[str, Any]) -> SealedKey:
    """The key of a record, without its birth.

    Raises MalformedError saying which field is wrong, also for a version or a scheme of later releases.
    """
    version = found.get("version")
    if type(version) is not int:
        raise MalformedError("version is missing or no number")
    if version not in {BEFORE, VERSION}:
        raise MalformedError(
            f"version {version} is not known to this release, which knows {BEFORE} and {VERSION}"
        )
    said = texts(found, ("key_id", "key_type", "purpose", "public_key", "scheme", "kms_key_arn"))
    try:
        scheme = Scheme(said["scheme"])
    except ValueError:
        raise MalformedError(f"scheme {said['scheme'][:64]!r} is not known to this release") from None
    if scheme is Scheme.KMS_ENCRYPT:
        return _of_ciphertext(found, said)
    if version == BEFORE:
        raise MalformedError(f"scheme: a record of version {BEFORE} is of {Scheme.KMS_ENCRYPT.value}")
    key: SealedKey = parsed(BLOB, SealedKey.of_blob, blob_of(found, BLOB))
    for name, value in _described(key).items():
        if type(found.get(name)) is not type(value) or found[name] != value:
            raise MalformedError(f"{name} is not that of the sealed record")
    if key.user_id is None and "user_id" in found:
        raise MalformedError("user_id is not that of the sealed record")
    return key


def found_in(found: Mapping[str, Any]) -> Found:
    """The key of a record with its birth. As `key_of`; a birth that cannot be read costs no key."""
    key = key_of(found)
    if STATEMENT not in found and ATTESTATION not in found:
        return Found(key)
    try:
        wrapped, birth = _birth_of(found)
    except MalformedError as error:
        return Found(key, error.message)
    if wrapped != key.blob:
        return Found(key, f"{STATEMENT}: it is of another sealed key")
    return Found(replace(key, birth=birth))


def birth_fields_of(key: SealedKey) -> Fields:
    """The record of a birth that stands apart. Raises MalformedError for one that would not come back."""
    found: Fields = {"version": BIRTH_VERSION, "key_id": key.id, **_birth_fields(key)}
    if key.birth is None or born_of(found) != Born(key.id, key.blob, key.birth):
        raise MalformedError(f"the birth of {key.id} cannot be stored: it is of another sealed key")
    return found


def born_of(found: Mapping[str, Any]) -> Born:
    """Raises MalformedError saying which field is wrong."""
    if found.get("version") != BIRTH_VERSION:
        raise MalformedError(f"version is not {BIRTH_VERSION}, the one that this release knows")
    return Born(texts(found, ("key_id",))["key_id"], *_birth_of(found))


def texts(found: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """These fields. Raises MalformedError, as everything below."""
    for name in names:
        if not isinstance(found.get(name), str):
            raise MalformedError(f"{name} is missing or no text")
    return {name: found[name] for name in names}


def blob_of(found: Mapping[str, Any], name: str) -> bytes:
    blob = found.get(name)
    if not isinstance(blob, bytes):
        raise MalformedError(f"{name} is missing or not binary")
    if not blob:
        raise MalformedError(f"{name} is empty")
    return blob


def parsed(name: str, parse: Callable[[Any], Any], value: Any) -> Any:
    try:
        return parse(value)
    except MalformedError as error:
        raise MalformedError(f"{name}: {error.message}") from error
    except ValueError:
        raise MalformedError(f"{name}: {str(value)[:40]!r} is not known to this release") from None


def _birth_fields(key: SealedKey) -> Fields:
    return {} if key.birth is None else {STATEMENT: key.birth.statement, ATTESTATION: key.birth.attestation}


def _birth_of(found: Mapping[str, Any]) -> tuple[bytes, KeyBirth]:
    """The blob that a birth is of, and the birth. What it attests is for those to judge who ask for it."""
    birth = KeyBirth(blob_of(found, STATEMENT), blob_of(found, ATTESTATION))
    return parsed(STATEMENT, births.decode, birth.statement).wrapped, birth


def _described(key: SealedKey) -> Fields:
    """What a record says of its key. Raises MalformedError for a key without its public part."""
    if key.public is None:
        raise MalformedError(f"{key.id} cannot be stored without its public key")
    return {
        "key_id": key.id,
        "key_type": key.type.value,
        "purpose": key.purpose.value,
        "public_key": key.public.text,
        "scheme": key.scheme.value,
        "key_version": key.version,
        **({} if key.user_id is None else {"user_id": key.user_id}),
        "kms_key_arn": key.kms_key_arn,
    }


def _of_ciphertext(found: Mapping[str, Any], said: Mapping[str, str]) -> SealedKey:
    """A key that KMS sealed alone: its bytes say neither purpose nor version nor tenant."""
    kind = Scheme.KMS_ENCRYPT.value
    public = parsed("public_key", PublicKey.parse, said["public_key"])
    if public.type is not parsed("key_type", KeyType, said["key_type"]):
        raise MalformedError("key_type is not that of the public key")
    if public.id != said["key_id"]:
        raise MalformedError("key_id does not belong to the public key")
    purpose, due = parsed("purpose", Purpose, said["purpose"]), default_purpose(public.type)
    if purpose is not due:
        # The enclave signs by the purpose of the family.
        raise MalformedError(f"purpose: {kind} seals {public.type.value} keys as {due.value} only")
    if found["version"] != BEFORE and (
        type(found.get("key_version")) is not int or found["key_version"] != 1
    ):
        raise MalformedError(f"key_version: {kind} seals no version, and it must be 1")
    if "user_id" in found:
        raise MalformedError(f"user_id: {kind} seals no user_id")
    return SealedKey(public.id, public.type, purpose, blob_of(found, BLOB), public, said["kms_key_arn"])
