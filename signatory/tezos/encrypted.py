"""Encrypted Tezos secret keys: salt (8) || secretbox, under a key that a password gives.

PBKDF2-HMAC-SHA512 of 32,768 rounds; the nonce is zero, because the salt makes every key new. Source: Octez,
signer_backends/encrypted.ml.
"""

import hashlib

from nacl import bindings
from nacl.exceptions import CryptoError

from signatory.errors import MalformedError

SALT_SIZE = 8
ROUNDS = 32768

_NONCE = bytes(bindings.crypto_secretbox_NONCEBYTES)


def encrypt(secret: bytes, password: bytes, salt: bytes) -> bytes:
    """The payload of an encrypted secret key. `salt` is 8 fresh random bytes, else MalformedError."""
    if len(salt) != SALT_SIZE:
        raise MalformedError(f"the salt of an encrypted key is {SALT_SIZE} bytes long, not {len(salt)}")
    return salt + bytes(bindings.crypto_secretbox(secret, _NONCE, _key(password, salt)))


def decrypt(payload: bytes, password: bytes) -> bytes:
    """The secret in the payload. Raises MalformedError for a wrong password or damaged bytes."""
    salt, box = payload[:SALT_SIZE], payload[SALT_SIZE:]
    try:
        return bytes(bindings.crypto_secretbox_open(box, _NONCE, _key(password, salt)))
    except CryptoError:
        raise MalformedError(
            "tezos: unable to decrypt the private key", hint="the password is wrong, or the text is not whole"
        ) from None


def _key(password: bytes, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password, salt, ROUNDS, 32)
