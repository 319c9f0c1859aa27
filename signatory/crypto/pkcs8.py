"""Private keys as files hold them: PKCS#8 and, for EC keys, SEC 1; in PEM or DER, plain or encrypted.

Every part that is there twice (curve, public key, seed and expanded key) must agree with its other.
Sources: RFC 5958, RFC 5915, RFC 8410, RFC 9881.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from Crypto import IncorrectPassphraseError, KdfLimitError
from Crypto.IO import PKCS8
from Crypto.Util.asn1 import DerObjectId
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from signatory.crypto import der, keypair
from signatory.crypto.curves import LENGTHS, KeyType, Purpose
from signatory.crypto.keypair import NAMES, KeyPair
from signatory.errors import MalformedError

Password = Callable[[], str]

DER_START = b"\x30"
PEM_START = "-----BEGIN "

MAX_SIZE = 65536
"""Bytes or characters; the longest key of ours needs some 7,000."""

# Of the password's key derivation: a second or two of work, several times what is recommended.
_MAX_ROUNDS = 5_000_000

_ED25519 = bytes.fromhex("2b6570")
_EC = bytes.fromhex("2a8648ce3d0201")
_CURVES = {
    bytes.fromhex("2a8648ce3d030107"): (KeyType.P256, ec.SECP256R1()),
    bytes.fromhex("2b8104000a"): (KeyType.SECP256K1, ec.SECP256K1()),
}
_MLDSA = {
    bytes.fromhex("608648016503040311"): KeyType.MLDSA44,
    bytes.fromhex("608648016503040312"): KeyType.MLDSA65,
    bytes.fromhex("608648016503040313"): KeyType.MLDSA87,
}
_REFUSED = {
    bytes.fromhex("608648016503040320"): "HashML-DSA-44",
    bytes.fromhex("608648016503040321"): "HashML-DSA-65",
    bytes.fromhex("608648016503040322"): "HashML-DSA-87",
    bytes.fromhex("2a864886f70d010101"): "RSA",
    bytes.fromhex("2b6571"): "Ed448",
    bytes.fromhex("2b656e"): "X25519",
    bytes.fromhex("2b81040022"): "P-384",
    bytes.fromhex("2b81040023"): "P-521",
}

_SUPPORTED = f"supported: {', '.join(name for family, name in NAMES.items() if family is not KeyType.BLS)}"

_ATTRIBUTES, _PUBLIC = 0xA0, 0x81
_SEC1_CURVE, _SEC1_PUBLIC = 0xA0, 0xA1
_SEED = 0x80

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----\s([^-]*)-----END \1-----", re.ASCII)
_LABELS = {"PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY"}


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a PKCS#8 structure holds. `parameters` is what follows the algorithm's OID, None when absent."""

    algorithm: bytes
    parameters: bytes | None
    private: bytes = field(repr=False)
    public: bytes | None


def ask(password: Password | None) -> bytes:
    """The password in UTF-8. Raises MalformedError when there is nobody to ask."""
    if password is None:
        raise MalformedError("the secret key is encrypted", hint="give its password")
    try:
        return password().encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise MalformedError("the password is not text") from None


def parse_pem(text: str, *, password: Password | None = None, purpose: Purpose | None = None) -> KeyPair:
    """The one private key in the text. Raises MalformedError for none, several, or one that is not whole."""
    if len(text) > MAX_SIZE:
        raise MalformedError(f"the PEM text is {len(text)} characters long; no private key is")
    if "Proc-Type:" in text:
        raise MalformedError(
            "the PEM text is encrypted in the old way, which is weak",
            hint="convert it with: openssl pkcs8 -topk8 -in OLD -out NEW",
        )
    blocks = _BLOCK.findall(text)
    keys = [body for label, body in blocks if label in _LABELS]
    if len(keys) != 1:
        found = ", ".join(label for label, _ in blocks) or "nothing"
        raise MalformedError(f"the PEM text must hold one private key; found: {found}")
    return parse(_unarmoured(keys[0]), password=password, purpose=purpose)


def parse(data: bytes, *, password: Password | None = None, purpose: Purpose | None = None) -> KeyPair:
    """The private key in the DER structure. Raises MalformedError for anything else."""
    if len(data) > MAX_SIZE:
        raise MalformedError(f"the DER structure is {len(data)} bytes long; no private key is")
    body = der.Reader(der.only(data, der.SEQUENCE))
    if body.peek() == der.SEQUENCE:
        return _pair(_decrypted(data, ask(password)), purpose)
    version = body.take(der.INTEGER)
    if body.peek() == der.OCTET_STRING:
        return _ec_pair(data, None, purpose)
    return _pair(_parts(body, version), purpose)


def _parts(body: der.Reader, version: bytes) -> _Parts:
    if version not in {b"\0", b"\1"}:
        raise MalformedError("the private key has a version of PKCS#8 that does not exist")
    algorithm = body.sequence()
    oid = algorithm.take(der.OBJECT_ID)
    parameters = algorithm.rest()
    private = body.take(der.OCTET_STRING)
    body.optional(_ATTRIBUTES)
    public = body.optional(_PUBLIC) if version == b"\1" else None
    body.end()
    return _Parts(oid, parameters or None, private, None if public is None else der.bits(public))


def _decrypted(data: bytes, password: bytes) -> _Parts:
    try:
        key = PKCS8.unwrap(data, password, _MAX_ROUNDS)
        oid = der.only(DerObjectId(key.oid).encode(), der.OBJECT_ID)
    except IncorrectPassphraseError:
        raise MalformedError("unable to decrypt the private key", hint="the password is wrong") from None
    except KdfLimitError:
        raise MalformedError("the encryption of the private key asks for too much work") from None
    except (ValueError, TypeError, IndexError, OverflowError):
        raise MalformedError(
            "unable to decrypt the private key: the password is wrong or the encryption is not supported",
            hint="convert it with: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW",
        ) from None
    return _Parts(oid, key.params, key.private_key, key.public_key)


def _pair(parts: _Parts, purpose: Purpose | None) -> KeyPair:
    if parts.algorithm == _EC:
        return _ec_pair(parts.private, parts, purpose)
    if parts.algorithm != _ED25519 and parts.algorithm not in _MLDSA:
        raise _refused(parts.algorithm)
    if parts.parameters is not None:
        raise MalformedError(
            "the algorithm of the private key has parameters, which this family does not have"
        )
    if parts.algorithm == _ED25519:
        return keypair.from_secret(
            KeyType.ED25519, der.only(parts.private, der.OCTET_STRING), purpose=purpose, public=parts.public
        )
    return _mldsa_pair(_MLDSA[parts.algorithm], parts, purpose)


def _ec_pair(data: bytes, parts: _Parts | None, purpose: Purpose | None) -> KeyPair:
    """From the ECPrivateKey of RFC 5915, alone or inside PKCS#8."""
    body = der.Reader(der.only(data, der.SEQUENCE))
    if body.take(der.INTEGER) != b"\1":
        raise MalformedError("the EC private key has a version that does not exist")
    secret = body.take(der.OCTET_STRING)
    named, public = body.optional(_SEC1_CURVE), body.optional(_SEC1_PUBLIC)
    body.end()
    inner = None if public is None else der.bits(der.only(public, der.BIT_STRING))
    curves = {curve for curve in (named, parts.parameters if parts else None) if curve}
    if len(curves) != 1:
        raise MalformedError("the EC private key must name one curve, and always the same")
    key_type, curve = _curve(curves.pop())
    outer = parts.public if parts else None
    points = {_compressed(key_type, curve, point) for point in (inner, outer) if point is not None}
    if len(points) > 1:
        raise MalformedError(f"the {NAMES[key_type]} key has two public parts, and they differ")
    return keypair.from_secret(key_type, secret, purpose=purpose, public=next(iter(points), None))


def _mldsa_pair(key_type: KeyType, parts: _Parts, purpose: Purpose | None) -> KeyPair:
    """From the CHOICE of RFC 9881: seed, expanded key, or both."""
    reader = der.Reader(parts.private)
    tag = reader.peek()
    seed, expanded = None, None
    if tag == _SEED:
        seed = reader.take(_SEED)
    elif tag == der.OCTET_STRING:
        expanded = reader.take(der.OCTET_STRING)
    else:
        both = reader.sequence()
        seed, expanded = both.take(der.OCTET_STRING), both.take(der.OCTET_STRING)
        both.end()
    reader.end()
    _check_length(key_type, "seed", seed, LENGTHS[key_type].secret)
    _check_length(key_type, "expanded key", expanded, LENGTHS[key_type].expanded)
    secret = seed if seed is not None else expanded or b""
    pair = keypair.from_secret(key_type, secret, purpose=purpose, public=parts.public)
    if seed is not None and expanded is not None and not hmac.compare_digest(pair.expanded, expanded):
        raise MalformedError(
            f"the seed and the expanded key of the {NAMES[key_type]} key do not belong together"
        )
    return pair


def _check_length(key_type: KeyType, what: str, value: bytes | None, length: int) -> None:
    if value is not None and len(value) != length:
        raise MalformedError(
            f"the {what} of an {NAMES[key_type]} key is {length} bytes long, not {len(value)}"
        )


def _curve(parameters: bytes) -> tuple[KeyType, ec.EllipticCurve]:
    if der.Reader(parameters).peek() != der.OBJECT_ID:
        raise MalformedError("the EC private key spells its curve out instead of naming it")
    name = der.only(parameters, der.OBJECT_ID)
    if name not in _CURVES:
        raise _refused(name)
    return _CURVES[name]


def _refused(oid: bytes) -> MalformedError:
    if oid not in _REFUSED:
        return MalformedError("private keys of this algorithm or curve are not supported", hint=_SUPPORTED)
    return MalformedError(f"{_REFUSED[oid]} private keys are not supported", hint=_SUPPORTED)


def _compressed(key_type: KeyType, curve: ec.EllipticCurve, point: bytes) -> bytes:
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError:
        raise MalformedError(
            f"the public part of the {NAMES[key_type]} key is not a point of the curve"
        ) from None
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def _unarmoured(body: str) -> bytes:
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError("the PEM text is not base64") from None
