"""The emulator's ciphertext blobs: AES-256-GCM under a key's material, bound to key and encryption context.

1 byte version (1) || 16 bytes key id (UUID) || 12 bytes nonce || ciphertext and tag
"""

import json
import uuid
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signatory.errors import MalformedError

VERSION = b"\x01"
_HEAD = 1 + 16
_NONCE = 12
_TAG = 16


def seal(key_id: str, material: bytes, plaintext: bytes, context: Mapping[str, str], nonce: bytes) -> bytes:
    """The blob. `nonce` is 12 fresh random bytes, `key_id` a UUID."""
    head = VERSION + uuid.UUID(key_id).bytes
    return head + nonce + AESGCM(material).encrypt(nonce, plaintext, head + _context(context))


def key_id_of(blob: bytes) -> str:
    """The id of the key that made the blob. Raises MalformedError."""
    if len(blob) < _HEAD + _NONCE + _TAG or blob[:1] != VERSION:
        raise MalformedError("not a ciphertext of this emulator")
    return str(uuid.UUID(bytes=blob[1:_HEAD]))


def open_blob(material: bytes, blob: bytes, context: Mapping[str, str]) -> bytes:
    """The plaintext. Raises MalformedError when blob or context are not what was sealed."""
    nonce, sealed = blob[_HEAD : _HEAD + _NONCE], blob[_HEAD + _NONCE :]
    try:
        return AESGCM(material).decrypt(nonce, sealed, blob[:_HEAD] + _context(context))
    except InvalidTag:
        raise MalformedError("not a ciphertext of this key in this context") from None


def _context(context: Mapping[str, str]) -> bytes:
    """One byte form of a map, whatever its order."""
    return json.dumps(sorted(context.items()), ensure_ascii=True).encode()
