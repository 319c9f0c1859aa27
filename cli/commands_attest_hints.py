"""What to do about a document that is not good."""

import hashlib

from signatory.nitro import attestation
from signatory.nitro.attestation import AttestationError


def other_root(error: AttestationError, document: bytes, pinned: bytes) -> str | None:
    """The hint for a document that does not begin with the pinned root; None for any other error."""
    if error.field != "cabundle[0]":
        return None
    brought = hashlib.sha256(attestation.parse(document).cabundle[0]).digest()
    if brought == pinned:
        return None
    return (
        f"the document brings the root {brought.hex()}: compare it with the one that you trust, which "
        "--root or root_sha256 of the manifest names; AWS's unless told"
    )
