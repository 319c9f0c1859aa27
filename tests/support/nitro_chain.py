"""Certificate chains with a knob for every rule, and the documents signed at their end."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signatory.nitro import attestation, cose
from signatory.nitro.attestation import Document

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
PCRS = {0: b"\x10" * 48, 1: b"\x11" * 48, 2: b"\x12" * 48, 3: bytes(48), 4: b"\x14" * 48, 8: bytes(48)}
IMAGE = {0: PCRS[0], 1: PCRS[1], 2: PCRS[2]}


@dataclass(frozen=True)
class Link:
    """How one certificate differs from a right one."""

    ca: bool | None = True
    critical: bool = True
    path_length: int | None = None
    cert_sign: bool | None = True
    sign: bool = True
    curve: type[ec.EllipticCurve] = ec.SECP384R1
    algorithm: type[SHA256 | SHA384] = SHA384
    issuer: str | None = None
    signed_by: int | None = None
    extension: bool | None = None
    begins: datetime = NOW - timedelta(hours=1)
    ends: datetime = NOW + timedelta(hours=1)


LEAF = Link(ca=False, cert_sign=False)
RIGHT = (Link(), Link(path_length=2), Link(path_length=1), Link(path_length=0), LEAF)


@dataclass(frozen=True)
class Chain:
    certificates: tuple[bytes, ...]
    leaf: ec.EllipticCurvePrivateKey

    @property
    def root(self) -> bytes:
        return hashlib.sha256(self.certificates[0]).digest()


def a_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, sign: bool, cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(sign, False, False, False, False, cert_sign, cert_sign, False, False)


def a_chain(links: Sequence[Link] = RIGHT, keys: Sequence[ec.EllipticCurvePrivateKey] | None = None) -> Chain:
    keys = keys or [ec.generate_private_key(link.curve()) for link in links]
    made = []
    for index, link in enumerate(links):
        above = max(index - 1, 0)
        builder = (
            x509.CertificateBuilder()
            .subject_name(a_name(f"c{index}"))
            .issuer_name(a_name(link.issuer or f"c{above}"))
            .public_key(keys[index].public_key())
            .serial_number(index + 1)
            .not_valid_before(link.begins)
            .not_valid_after(link.ends)
        )
        if link.ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(link.ca, link.path_length), link.critical)
        if link.cert_sign is not None:
            builder = builder.add_extension(_usage(sign=link.sign, cert_sign=link.cert_sign), critical=True)
        if link.extension is not None:
            usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
            builder = builder.add_extension(usage, critical=link.extension)
        signer = keys[above if link.signed_by is None else link.signed_by]
        made.append(builder.sign(signer, link.algorithm()).public_bytes(Encoding.DER))
    return Chain(tuple(made), keys[-1])


CHAIN = a_chain()


def a_document(chain: Chain = CHAIN, **changes: Any) -> Document:
    made = Document(
        module_id="i-1234567890abcdef0-enc1234567890abcdef",
        timestamp_ms=int(NOW.timestamp() * 1000),
        pcrs=PCRS,
        certificate=chain.certificates[-1],
        cabundle=chain.certificates[:-1],
        public_key=b"key",
    )
    return replace(made, **changes)


def signed(chain: Chain = CHAIN, **changes: Any) -> bytes:
    return cose.sign1(attestation.encode_payload(a_document(chain, **changes)), chain.leaf)


def a_payload(chain: Chain = CHAIN) -> dict[str, Any]:
    loaded: dict[str, Any] = cbor2.loads(attestation.encode_payload(a_document(chain)))
    return loaded


def verify(data: bytes, chain: Chain = CHAIN, **expected: Any) -> Document:
    return attestation.verify(data, root_sha256=chain.root, **expected)


def enveloped(
    payload: bytes, key: ec.EllipticCurvePrivateKey = CHAIN.leaf, protected: bytes = cose.PROTECTED
) -> bytes:
    """A COSE_Sign1 made without our code."""
    structure = cbor2.dumps(["Signature1", protected, b"", payload])
    r, s = utils.decode_dss_signature(key.sign(structure, ec.ECDSA(SHA384())))
    return cbor2.dumps([protected, {}, payload, r.to_bytes(48, "big") + s.to_bytes(48, "big")])
