"""What a birth says, read and verified without any of the product's code: cbor2, hashlib, cryptography."""

import hashlib
import itertools
from dataclasses import dataclass
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384


@dataclass(frozen=True)
class Read:
    """The payload of an attestation document."""

    payload: dict[str, Any]

    @property
    def pcrs(self) -> dict[int, bytes]:
        found: dict[int, bytes] = self.payload["pcrs"]
        return found


def document(data: bytes, root_der: bytes) -> Read:
    """Fails unless the document's signature and its chain hold, down from this root."""
    protected, unprotected, payload, signature = cbor2.loads(data)
    assert protected == bytes.fromhex("a1013822")
    assert unprotected == {}
    found = cbor2.loads(payload)
    assert found["cabundle"][0] == root_der
    chain = [x509.load_der_x509_certificate(der) for der in [*found["cabundle"], found["certificate"]]]
    for issuer, subject in itertools.pairwise(chain):
        subject.verify_directly_issued_by(issuer)
    key = chain[-1].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    r, s = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA384()))
    return Read(found)


def statement(data: bytes) -> dict[int, Any]:
    """The numbered fields, when the bytes are in their one deterministic form."""
    found: dict[int, Any] = cbor2.loads(data)
    assert cbor2.dumps(dict(sorted(found.items()))) == data
    return found


def of_a_key(statement_bytes: bytes, attestation: bytes, root_der: bytes) -> dict[int, Any]:
    """The statement, when the document is one of a birth and over it."""
    found = document(attestation, root_der).payload
    assert found["user_data"] == hashlib.sha256(statement_bytes).digest()
    assert found["public_key"] is None
    return statement(statement_bytes)
