"""What is asked of an enclave when it makes or takes a key, what comes of it, and how it shall be sealed."""

from collections.abc import Iterable
from dataclasses import dataclass

from signatory.crypto.curves import KeyType, Purpose, default_purpose
from signatory.crypto.keypair import NAMES, KeyPair
from signatory.errors import MalformedError
from signatory.nitro.sealed import Scheme
from signatory.tezos.keys import PublicKey
from vaults.nitro.storage.record import SealedKey

KMS_PLAINTEXT = 4096
"""Bytes that KMS Encrypt takes at most."""
CBOR_AROUND = 12
"""Bytes that the reference's sealed form of an expanded ML-DSA key has around the key itself."""


class NotSpokenError(MalformedError):
    """The enclave would have to speak the extended protocol for this."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} needs the extended protocol, and with this enclave the reference protocol is spoken",
            hint="use an enclave image that knows it, and leave enclave_protocol: reference out",
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key to be."""

    key_type: KeyType
    purpose: Purpose
    user_id: str | None = None
    """The tenant that it shall belong to."""

    @property
    def fits_reference(self) -> bool:
        """Whether kms-encrypt-v0, which seals neither a purpose nor a tenant, can seal it."""
        return self.purpose is default_purpose(self.key_type) and self.user_id is None

    @property
    def beyond_reference(self) -> str:
        """What kms-encrypt-v0 cannot say of it."""
        if self.user_id is not None:
            return "that belongs to a tenant"
        return f"of the family {NAMES[self.key_type]} with the purpose {self.purpose.value}"


@dataclass(frozen=True, slots=True)
class Wish:
    """A key to be, and how it shall be sealed."""

    key: Wanted
    scheme: Scheme


def choose(wanted: Wanted, written: Scheme | None, stored: Iterable[SealedKey], *, extended: bool) -> Wish:
    """A wish with the scheme that is written, else with the one that goes with the stored keys.

    A store that is shared with Signatory keeps the reference's scheme wherever that can seal the key, and the
    reference protocol knows no other. Raises MalformedError for what cannot be sealed so, NotSpokenError.
    """
    _check_purpose(wanted)
    if not extended:
        _check_reference(wanted, written)
        return Wish(wanted, Scheme.KMS_ENCRYPT)
    if written is Scheme.KMS_ENCRYPT and not wanted.fits_reference:
        raise MalformedError(
            f"a key {wanted.beyond_reference} cannot be sealed by {written.value}",
            hint=f"set sealing: {Scheme.KMS_GDK.value}",
        )
    if written is not None:
        return Wish(wanted, written)
    keeps = wanted.fits_reference and any(key.is_reference for key in stored)
    return Wish(wanted, Scheme.KMS_ENCRYPT if keeps else Scheme.KMS_GDK)


def _check_purpose(wanted: Wanted) -> None:
    name = NAMES[wanted.key_type]
    if wanted.purpose is Purpose.CHECKPOINT and wanted.key_type is not KeyType.ED25519:
        raise MalformedError(f"a checkpoint key is an {NAMES[KeyType.ED25519]} key, not {name}")
    if wanted.purpose is Purpose.TEZOS and default_purpose(wanted.key_type) is Purpose.RAW:
        raise MalformedError(f"{name} keys cannot sign for Tezos", hint="give the key the purpose raw")


def _check_reference(wanted: Wanted, written: Scheme | None) -> None:
    if not wanted.fits_reference:
        raise NotSpokenError(f"a key {wanted.beyond_reference}")
    if written not in {None, Scheme.KMS_ENCRYPT}:
        raise NotSpokenError(f"sealing by {written.value}")


@dataclass(frozen=True, slots=True)
class Made:
    """A key that the enclave made or took and holds, ready to be stored."""

    sealed: SealedKey
    public: PublicKey
    handle: int


def check_size(pair: KeyPair) -> None:
    """Raises MalformedError for a key that is too long for kms-encrypt-v0."""
    if len(pair.secret) + CBOR_AROUND > KMS_PLAINTEXT:
        raise MalformedError(
            f"an expanded {NAMES[pair.type]} key is longer than the {KMS_PLAINTEXT} bytes that KMS seals",
            hint="import the key with its 32-byte seed",
        )
