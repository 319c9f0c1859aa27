"""COSE_Sign1 with ES384, the envelope of attestation documents.

Only the form that Nitro makes is read: tag 18 or none, shortest lengths, protected header exactly {1: -35},
nothing unprotected, a signature of 96 bytes (r || s). The payload is verified as it was received.
Source: RFC 9052 §4.2 and §4.4, RFC 9053 §2.1.
"""

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP384R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from signatory.errors import IntegrityError, MalformedError
from signatory.nitro import strict

PROTECTED = bytes.fromhex("a1013822")
"""{1: -35}: alg ES384."""

_TAG_18 = b"\xd2"
_HALF = 48


@dataclass(frozen=True, slots=True)
class Sign1:
    """A message taken apart; its signature is not verified yet."""

    payload: bytes
    signature: bytes


def sign1(payload: bytes, key: EllipticCurvePrivateKey, *, tagged: bool = False) -> bytes:
    """Sign with a P-384 key; untagged unless asked, as the NSM does. Raises MalformedError."""
    _check_curve(key.public_key())
    r, s = decode_dss_signature(key.sign(_to_be_signed(payload), ECDSA(SHA384())))
    signature = r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big")
    body = strict.encode([PROTECTED, {}, payload, signature])
    return _TAG_18 + body if tagged else body


def parse1(data: bytes) -> Sign1:
    """Raises MalformedError that names the part."""
    body = data.removeprefix(_TAG_18)
    match strict.decode(body):
        case [bytes() as protected, dict() as unprotected, bytes() as payload, bytes() as signature]:
            pass
        case _:
            raise MalformedError("COSE_Sign1: an array of two headers, payload and signature was expected")
    if protected != PROTECTED:
        raise MalformedError("COSE_Sign1: the protected header is not exactly {1: -35}, ES384")
    if unprotected:
        raise MalformedError("COSE_Sign1: the unprotected header is not empty")
    if len(signature) != 2 * _HALF:
        raise MalformedError(f"COSE_Sign1: a signature of {len(signature)} bytes; ES384 has {2 * _HALF}")
    if strict.encode([protected, {}, payload, signature]) != body:
        raise MalformedError("COSE_Sign1: not in its shortest form")
    return Sign1(payload, signature)


def verify1(message: Sign1, key: EllipticCurvePublicKey) -> None:
    """Raises IntegrityError unless `key`, of P-384, made the signature."""
    _check_curve(key)
    r, s = (int.from_bytes(half, "big") for half in (message.signature[:_HALF], message.signature[_HALF:]))
    try:
        key.verify(encode_dss_signature(r, s), _to_be_signed(message.payload), ECDSA(SHA384()))
    except InvalidSignature:
        raise IntegrityError("COSE_Sign1: the signature is not one of this key over this payload") from None


def _to_be_signed(payload: bytes) -> bytes:
    return strict.encode(["Signature1", PROTECTED, b"", payload])


def _check_curve(key: EllipticCurvePublicKey) -> None:
    if not isinstance(key.curve, SECP384R1):
        raise MalformedError("COSE_Sign1: ES384 needs a key of P-384")
