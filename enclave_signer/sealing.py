"""A private key as a sealed blob: the reference's plaintext, wrapped by KMS without a context.

Source: reference RPC, "plaintext that KMS encrypts"; scheme kms-encrypt-v0.
"""

import cbor2

from enclave_signer.kms import KmsSession
from signatory.crypto.keypair import KeyPair, from_secret
from signatory.errors import MalformedError
from signatory.nitro.kms import MAX_PLAINTEXT
from signatory.rpc import shapes
from signatory.rpc.cbor import read


class SealedKeyError(MalformedError):
    """What KMS unwrapped is not a private key. Its text says nothing about what it is instead."""


async def seal(kms: KmsSession, pair: KeyPair) -> bytes:
    """Wrap the key: `{"<family>": bytes}`. Raises MalformedError when too long for KMS, and KMS's errors."""
    plaintext = cbor2.dumps({shapes.NAMES[pair.type]: pair.secret})
    if len(plaintext) > MAX_PLAINTEXT:
        raise MalformedError("an ML-DSA-87 key in expanded form is too long for KMS; bring its 32-byte seed")
    return await kms.encrypt(plaintext)


async def unseal(kms: KmsSession, blob: bytes) -> KeyPair:
    """Unwrap and read strictly: an envelope has no integrity. Raises SealedKeyError and KMS's errors."""
    plaintext = await kms.decrypt(blob)
    try:
        return from_secret(*shapes.secret(read(plaintext, whole=True)))
    except MalformedError:
        # The cause would quote what was unwrapped.
        raise SealedKeyError("what KMS unwrapped is not a private key of this protocol") from None
