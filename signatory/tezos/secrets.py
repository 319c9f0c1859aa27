"""Secret keys in every form that people bring: Base58 plain or encrypted, PEM, DER; and back to Base58."""

from collections.abc import Callable

from signatory.crypto import keypair, pkcs8
from signatory.crypto.curves import LENGTHS, KeyType, Purpose
from signatory.crypto.keypair import KeyPair
from signatory.errors import MalformedError
from signatory.tezos import base58, encrypted

Password = Callable[[], str]
"""Asked only when the key turns out to be encrypted."""

_SCHEMES = {"unencrypted", "encrypted", "aggregate_unencrypted", "aggregate_encrypted"}


def parse(data: bytes | str, *, password: Password | None = None, purpose: Purpose | None = None) -> KeyPair:
    """The key in Base58 (a scheme such as `encrypted:` is dropped), PEM, or DER (bytes only).

    Raises MalformedError for what is not one whole, consistent private key; errors of `password` pass.
    """
    if isinstance(data, bytes) and data[:1] == pkcs8.DER_START:
        return pkcs8.parse(data, password=password, purpose=purpose)
    text = _text(data).strip()
    if pkcs8.PEM_START in text:
        return pkcs8.parse_pem(text, password=password, purpose=purpose)
    return _parse_base58(text, password, purpose)


def text(pair: KeyPair) -> str:
    """`edsk...`, `spsk...`, `p2sk...`, `BLsk...`, `mdsk...` (no seed). MalformedError for others."""
    if pair.type is KeyType.MLDSA44:
        row, payload = base58.required("secret key and public key", pair.type), pair.expanded + pair.public
    else:
        row = base58.required("secret key", pair.type)
        payload = _swapped(pair.type, pair.secret)
    return base58.encode(row.code, payload)


def _parse_base58(text: str, password: Password | None, purpose: Purpose | None) -> KeyPair:
    scheme, colon, rest = text.rpartition(":")
    if colon and scheme not in _SCHEMES:
        raise MalformedError(
            "the secret key has an unknown scheme", hint="known: unencrypted: and encrypted:"
        )
    row, payload = base58.decode(rest)
    if row.type is None or "secret key" not in row.kind:
        raise MalformedError(f"this is a {row.kind}, not a secret key")
    if row.kind == "encrypted secret key":
        payload = encrypted.decrypt(payload, pkcs8.ask(password))
    return _pair(row.type, payload, purpose)


def _pair(key_type: KeyType, payload: bytes, purpose: Purpose | None) -> KeyPair:
    """From the payload of a secret key: the secret alone, or secret || public key."""
    lengths = LENGTHS[key_type]
    size = lengths.expanded or lengths.secret
    secret, public = _swapped(key_type, payload[:size]), payload[size:] or None
    return keypair.from_secret(key_type, secret, purpose=purpose, public=public)


def _swapped(key_type: KeyType, secret: bytes) -> bytes:
    """The scalar of a BLS key is little-endian in its text and big-endian everywhere else."""
    return secret[::-1] if key_type is KeyType.BLS else secret


def _text(data: bytes | str) -> str:
    if isinstance(data, str):
        return data
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedError("the secret key is neither text nor DER") from None
