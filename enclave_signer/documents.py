"""Attestation documents of this enclave, looked at before they are handed on.

Only what this enclave itself decided on gets into one: the three fields are never a caller's choice, but for
the nonce. Source: docs/enclave-protocol.md, reference attestation document layout (COSE_Sign1).
"""

from typing import Any

from enclave_signer import nsm
from enclave_signer.kms import AttestationError
from signatory.errors import IntegrityError, MalformedError, UnavailableError
from signatory.nitro import fields, strict

_TAG = 0xD2
"""CBOR tag 18 in one byte: a COSE_Sign1 may begin with it."""


async def make(
    module: nsm.Nsm,
    *,
    public_key: bytes | None = None,
    user_data: bytes | None = None,
    nonce: bytes | None = None,
) -> bytes:
    """A fresh document that carries exactly these fields. Raises AttestationError."""
    wanted = {"public_key": public_key, "user_data": user_data, "nonce": nonce}
    try:
        document = await nsm.attest(module, **wanted)
        payload = _payload(document)
    except (UnavailableError, IntegrityError, MalformedError) as error:
        raise AttestationError(error.message) from error
    for name, value in wanted.items():
        if payload.get(name) != value:
            raise AttestationError(f"the NSM's document has another {name} than it was asked to carry")
    return document


def _payload(document: bytes) -> dict[str | int, Any]:
    parts = strict.decode(document[1:] if document[:1] == bytes([_TAG]) else document)
    if not isinstance(parts, list) or len(parts) != 4:
        raise MalformedError("the NSM's document is not a COSE_Sign1")
    return strict.decode_map(fields.data(parts[2], "payload", 1, len(document)))
