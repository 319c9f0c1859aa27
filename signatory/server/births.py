"""The birth certificate of a key as a client gets it, and whether what is stored is one."""

import base64
from typing import Any

from signatory.errors import IntegrityError, MalformedError
from signatory.nitro import attestation, birth
from signatory.nitro.attestation import AttestationError
from signatory.nitro.birth_metadata import metadata_of
from signatory.tezos.keys import PublicKey
from signatory.vault import KeyBirth


def certificate(identifier: str, stored: KeyBirth) -> dict[str, Any]:
    """The birth as JSON values: statement and attestation document in base64, the metadata in clear.

    That it holds is for the client to find out; here nothing but what belongs together leaves. Raises
    IntegrityError for what is no certificate of this key.
    """
    try:
        statement, document = birth.decode(stored.statement), attestation.parse(stored.attestation)
    except (MalformedError, AttestationError) as error:
        raise IntegrityError(f"the stored birth certificate cannot be read: {error.message}") from error
    if PublicKey(statement.key_type, statement.public).id != identifier:
        raise IntegrityError("the stored birth certificate is of another key")
    if document.user_data != statement.digest():
        raise IntegrityError("the stored attestation document is not of the stored birth statement")
    return {
        "public_key_hash": identifier,
        "statement": base64.b64encode(stored.statement).decode(),
        "attestation": base64.b64encode(stored.attestation).decode(),
        "metadata": metadata_of(statement),
    }
