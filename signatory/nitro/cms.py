"""CMS EnvelopedData as KMS makes it for an attested recipient (`CiphertextForRecipient`), both ends.

One recipient, named by SHA-256 of its RSA public key (SPKI DER) as subjectKeyIdentifier; RSAES-OAEP with
SHA-256; AES-256-CBC; BER with indefinite lengths. CBC has no integrity: whoever opens an envelope must
validate what comes out. Source: RFC 5652, RFC 3560; the layout is that of genuine samples.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asn1crypto import cms
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from signatory.errors import IntegrityError, MalformedError

MAX_ENVELOPE = 65536
"""Bytes; KMS's own are some 500 (a data key) to 4,600 (a plaintext of 4,096)."""

_OPENING_FAILED = "the envelope from KMS does not open with this key"
_CHUNK = 1024

_VERSION_2 = bytes.fromhex("020102")
_ENVELOPED_DATA = bytes.fromhex("06092a864886f70d010703")
_DATA = bytes.fromhex("06092a864886f70d010701")
_AES256_CBC = bytes.fromhex("060960864801650304012a")
_OAEP_SHA256 = bytes.fromhex(
    "303c06092a864886f70d010107302fa00f300d06096086480165030402010500"
    "a11c301a06092a864886f70d010108300d06096086480165030402010500"
)
_OAEP_PARAMETERS = {
    "hash_algorithm": {"algorithm": "sha256", "parameters": None},
    "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": {"algorithm": "sha256", "parameters": None}},
    "p_source_algorithm": {"algorithm": "p_specified", "parameters": b""},
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """An EnvelopedData for one recipient, taken apart and not yet decrypted."""

    recipient_id: bytes
    """SHA-256 of the recipient's SPKI DER."""
    encrypted_key: bytes
    iv: bytes
    ciphertext: bytes


def recipient_id(spki_der: bytes) -> bytes:
    """How KMS names the recipient: SHA-256 of the attested public key."""
    return hashlib.sha256(spki_der).digest()


def build(
    recipient_spki_der: bytes,
    plaintext: bytes,
    *,
    entropy: Callable[[int], bytes],
    ber_indefinite: bool = True,
) -> bytes:
    """Encrypt for the holder of an RSA key, as KMS does. Raises MalformedError when that is no RSA key.

    `entropy` gives key and IV; the OAEP seed is drawn in the library. Without `ber_indefinite` it is plain
    DER.
    """
    key, iv = entropy(32), entropy(16)
    encrypted_key = _rsa_public_key(recipient_spki_der).encrypt(key, _oaep())
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()
    envelope = Envelope(recipient_id(recipient_spki_der), encrypted_key, iv, ciphertext)
    return _indefinite(envelope) if ber_indefinite else _definite(envelope)


def open(data: bytes, private_key: RSAPrivateKey) -> bytes:  # noqa: A001  it reads as cms.open
    """Decrypt an envelope addressed to this key.

    Raises IntegrityError with one and the same text whatever was wrong: the parent sees our errors, and a
    reason would be a padding oracle.
    """
    try:
        envelope = parse(data)
        _expect(envelope.recipient_id == recipient_id(_spki(private_key)), "this recipient's id")
        key = private_key.decrypt(envelope.encrypted_key, _oaep())
        decryptor = Cipher(algorithms.AES256(key), modes.CBC(envelope.iv)).decryptor()
        unpadder = PKCS7(128).unpadder()
        padded = decryptor.update(envelope.ciphertext) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except (MalformedError, ValueError):
        raise IntegrityError(_OPENING_FAILED) from None


def parse(data: bytes) -> Envelope:
    """Take an envelope apart: BER or DER, content primitive or in chunks. Raises MalformedError."""
    if len(data) > MAX_ENVELOPE:
        raise MalformedError(f"an envelope of {len(data)} bytes; at most {MAX_ENVELOPE} are read")
    try:
        return _read(data)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError):
        raise MalformedError("the envelope is not well-formed BER of an EnvelopedData") from None


def _read(data: bytes) -> Envelope:
    info = cms.ContentInfo.load(data, strict=True)
    _expect(info["content_type"].native == "enveloped_data", "an EnvelopedData")
    enveloped = info["content"]
    _expect(enveloped["version"].native == "v2", "version 2")
    _expect(len(enveloped["recipient_infos"]) == 1, "exactly one recipient")
    _expect(not enveloped["unprotected_attrs"], "no attributes")
    recipient = enveloped["recipient_infos"][0]
    _expect(recipient.name == "ktri", "a key transport recipient")
    named, encrypted_key = _recipient(recipient.chosen)
    content = enveloped["encrypted_content_info"]
    _expect(content["content_type"].native == "data", "content of type data")
    algorithm = content["content_encryption_algorithm"]
    _expect(algorithm["algorithm"].native == "aes256_cbc", "AES-256-CBC")
    iv, ciphertext = algorithm["parameters"].native, content["encrypted_content"].native
    _expect(isinstance(iv, bytes) and len(iv) == 16, "an IV of 16 bytes")
    _expect(
        isinstance(ciphertext, bytes) and len(ciphertext) > 0 and len(ciphertext) % 16 == 0, "whole blocks"
    )
    return Envelope(named, encrypted_key, iv, ciphertext)


def _recipient(transport: Any) -> tuple[bytes, bytes]:
    _expect(transport["version"].native == "v2", "a recipient of version 2")
    _expect(transport["rid"].name == "subject_key_identifier", "a recipient named by its key")
    algorithm = transport["key_encryption_algorithm"]
    _expect(algorithm["algorithm"].native == "rsaes_oaep", "RSAES-OAEP")
    _expect(algorithm["parameters"].native == _OAEP_PARAMETERS, "OAEP with SHA-256 twice and no label")
    named, encrypted_key = transport["rid"].native, transport["encrypted_key"].native
    _expect(isinstance(named, bytes) and len(named) == 32, "a recipient id of 32 bytes")
    _expect(isinstance(encrypted_key, bytes), "an encrypted key")
    return named, encrypted_key


def _expect(holds: bool, expected: str) -> None:
    if not holds:
        raise MalformedError(f"the envelope has something else where {expected} was expected")


def _oaep() -> padding.OAEP:
    return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def _spki(key: RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _rsa_public_key(spki_der: bytes) -> RSAPublicKey:
    try:
        key = serialization.load_der_public_key(spki_der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise MalformedError("the recipient's public key is not the DER of a public key") from None
    if not isinstance(key, RSAPublicKey):
        raise MalformedError("the recipient's public key is not an RSA key")
    return key


def _definite(envelope: Envelope) -> bytes:
    content = _tlv(0x30, _DATA + _content_algorithm(envelope) + _tlv(0x80, envelope.ciphertext))
    enveloped = _tlv(0x30, _VERSION_2 + _recipient_infos(envelope) + content)
    return _tlv(0x30, _ENVELOPED_DATA + _tlv(0xA0, enveloped))


def _indefinite(envelope: Envelope) -> bytes:
    chunks = b"".join(
        _tlv(0x04, envelope.ciphertext[at : at + _CHUNK]) for at in range(0, len(envelope.ciphertext), _CHUNK)
    )
    content = _open_tlv(0x30, _DATA + _content_algorithm(envelope) + _open_tlv(0xA0, chunks))
    enveloped = _open_tlv(0x30, _VERSION_2 + _recipient_infos(envelope) + content)
    return _open_tlv(0x30, _ENVELOPED_DATA + _open_tlv(0xA0, enveloped))


def _recipient_infos(envelope: Envelope) -> bytes:
    named, key = _tlv(0x80, envelope.recipient_id), _tlv(0x04, envelope.encrypted_key)
    return _tlv(0x31, _tlv(0x30, _VERSION_2 + named + _OAEP_SHA256 + key))


def _content_algorithm(envelope: Envelope) -> bytes:
    return _tlv(0x30, _AES256_CBC + _tlv(0x04, envelope.iv))


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _open_tlv(tag: int, content: bytes) -> bytes:
    return bytes((tag, 0x80)) + content + b"\0\0"
