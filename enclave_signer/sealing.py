"""Private keys as sealed blobs, and back: by the schemes that the measured settings allow.

Sources: signatory.nitro.sealed (kms-gdk-v1, kms-envelope-v1); reference RPC, "plaintext that KMS encrypts"
(kms-encrypt-v0).
"""

import os
from collections.abc import Collection
from dataclasses import dataclass, field

import cbor2

from enclave_signer.data_keys import DataKeys
from enclave_signer.kms import KmsSession
from signatory.crypto.curves import KeyType, Purpose, default_purpose
from signatory.crypto.keypair import KeyPair, from_secret
from signatory.errors import DeniedError, IntegrityError, MalformedError
from signatory.nitro import sealed
from signatory.nitro.kms import MAX_CIPHERTEXT, MAX_PLAINTEXT, Arn
from signatory.nitro.sealed import KeyName, Record, Scheme
from signatory.rpc import shapes
from signatory.rpc.cbor import read
from signatory.tezos.keys import PublicKey


class SealedKeyError(MalformedError):
    """What was unsealed is not a private key. Its text says nothing about what it is instead."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A key as storage gets it. `kms_key` is the one that KMS said it used."""

    name: KeyName
    scheme: Scheme
    kms_key: Arn
    blob: bytes = field(repr=False)


class Sealer:
    """Seals and unseals with one session's rights at KMS.

    `schemes` are those of the settings: no other one seals or opens anything.
    """

    def __init__(self, kms: KmsSession, vaulted: DataKeys, schemes: Collection[Scheme]) -> None:
        self._kms = kms
        self._vaulted = vaulted
        self._schemes = schemes

    async def seal(
        self, pair: KeyPair, scheme: Scheme, user_id: str | None = None, version: int = 1
    ) -> Sealed:
        """Seal a key for its owner.

        Raises DeniedError for a scheme that the settings do not list, MalformedError for what the scheme
        cannot hold or a `user_id` that is none, and KMS's errors.
        """
        self._require(scheme)
        if user_id is not None:
            sealed.check_user_id(user_id)
        identifier = PublicKey(pair.type, pair.public).id
        name = KeyName(identifier, pair.type, pair.purpose, pair.public, version, user_id)
        if scheme is Scheme.KMS_ENCRYPT:
            _check_reference(name)
            return Sealed(name, scheme, self._kms.key, await self.seal_reference(pair))
        record = await self._record(name, scheme, pair.secret)
        return Sealed(name, scheme, record.kms_key, sealed.encode(record))

    async def unseal(self, name: KeyName, scheme: Scheme, blob: bytes) -> KeyPair:
        """The key with exactly this name. A v0 blob says nothing of itself: there `public` may be empty.

        Raises IntegrityError for a blob of another key, DeniedError for a scheme or a KMS key that the
        settings do not list, MalformedError for what is no record, SealedKeyError, and KMS's errors.
        """
        self._require(scheme)
        if scheme is Scheme.KMS_ENCRYPT:
            _check_reference(name)
            pair = await self.unseal_reference(blob)
        else:
            record = sealed.decode(blob)
            if record.scheme is not scheme:
                raise IntegrityError("substitution: the sealed record is of another scheme (scheme)")
            sealed.check(record, name)
            secret = sealed.open_record(record, await self._data_key(record))
            pair = _pair(name.key_type, secret, name.purpose)
        _check_pair(pair, name)
        return pair

    async def seal_reference(self, pair: KeyPair) -> bytes:
        """Wrap the key by KMS Encrypt: `{"<family>": bytes}`, without a context.

        Raises DeniedError, MalformedError when it is too long for KMS, and KMS's errors.
        """
        self._require(Scheme.KMS_ENCRYPT)
        plaintext = cbor2.dumps({shapes.NAMES[pair.type]: pair.secret})
        if len(plaintext) > MAX_PLAINTEXT:
            raise MalformedError(
                "an ML-DSA-87 key in expanded form is too long for KMS; bring its 32-byte seed"
            )
        return await self._kms.encrypt(plaintext)

    async def unseal_reference(self, blob: bytes) -> KeyPair:
        """Unwrap what `seal_reference` wrapped, and read it strictly: an envelope has no integrity.

        Raises DeniedError, MalformedError for more than KMS takes, SealedKeyError and KMS's errors.
        """
        self._require(Scheme.KMS_ENCRYPT)
        if len(blob) > MAX_CIPHERTEXT:
            # Before it waits for a connection and costs an RSA key, as long as a frame and many at a time.
            raise MalformedError(f"a sealed key of {len(blob)} bytes; KMS makes at most {MAX_CIPHERTEXT}")
        plaintext = await self._kms.decrypt(blob)
        try:
            key_type, secret = shapes.secret(read(plaintext, whole=True))
        except MalformedError:
            # The cause would quote what was unwrapped.
            raise SealedKeyError("what KMS unwrapped is not a private key of this protocol") from None
        return _pair(key_type, secret, default_purpose(key_type))

    def _require(self, scheme: Scheme) -> None:
        if scheme not in self._schemes:
            raise DeniedError(
                f"this enclave neither seals nor opens by {scheme.value}: "
                "its measured settings do not list it under `schemes`"
            )

    async def _record(self, name: KeyName, scheme: Scheme, secret: bytes) -> Record:
        if scheme is Scheme.KMS_ENVELOPE:
            shared = await self._vaulted.for_sealing(self._kms, name.user_id)
            data_key_id, data_key = shared.id, shared.data_key
        else:
            data_key_id = name.key_id
            data_key = await self._kms.generate_data_key(sealed.context_of(name.user_id, data_key_id))
        return sealed.close(
            scheme,
            name,
            data_key.key,
            data_key_id,
            data_key.wrapped,
            data_key=data_key.plaintext,
            nonce=os.urandom(sealed.NONCE),
            secret=secret,
        )

    async def _data_key(self, record: Record) -> bytes:
        if not self._kms.allows(record.kms_key):
            raise DeniedError(
                f"the record is sealed under {record.kms_key}, which is not in this region or not among "
                "`kms_key_arns` of this enclave's settings"
            )
        if record.scheme is Scheme.KMS_ENVELOPE:
            return await self._vaulted.open(self._kms, record.kms_key, record.wrapped, record.context)
        return await self._kms.decrypt(record.wrapped, key=record.kms_key, context=record.context)


def _pair(key_type: KeyType, secret: bytes, purpose: Purpose) -> KeyPair:
    try:
        return from_secret(key_type, secret, purpose=purpose)
    except MalformedError:
        raise SealedKeyError("what KMS unwrapped is not a private key of this protocol") from None


def _check_reference(name: KeyName) -> None:
    """A v0 blob holds family and secret; what else the name says must be what every such blob means."""
    if name.user_id is not None or name.version != 1 or name.purpose is not default_purpose(name.key_type):
        raise MalformedError(
            "kms-encrypt-v0 binds neither tenant nor version nor purpose: it holds first versions of keys "
            "without a tenant, with the usual purpose of their family"
        )


def _check_pair(pair: KeyPair, name: KeyName) -> None:
    """Raises IntegrityError unless the secret's own family, public key and id are the named ones."""
    if pair.type is not name.key_type:
        raise IntegrityError("substitution: the sealed secret is of another family (key_type)")
    if name.public and pair.public != name.public:
        raise IntegrityError("substitution: the sealed secret has another public key (public)")
    if PublicKey(pair.type, pair.public).id != name.key_id:
        raise IntegrityError("substitution: the sealed secret is of another key (key_id)")
