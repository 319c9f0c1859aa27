"""What must be true of an enclave before a secret goes to it: who made it, which image runs, this connection.

Source: docs/enclave-protocol.md, "Attest"; AWS, "Verifying the root of trust".
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from signatory.errors import IntegrityError, MalformedError
from signatory.nitro.attestation import AWS_ROOT_SHA256, Document, verify

NONCE = 32
"""Bytes of the challenge of an Attest."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The root that signs and the images that may run; both come from the operator, never from a document."""

    root_sha256: bytes = AWS_ROOT_SHA256
    """SHA-256 of the DER of the root certificate."""
    images: tuple[Mapping[int, bytes], ...] = ()
    """Of each allowed image the registers that must match, 48 bytes each. Empty: any image may run."""
    allow_debug: bool = False
    """Whether zero PCR0 to PCR2 are taken: nothing says then which image runs."""

    async def check(
        self, document: bytes, *, transcript: bytes, session_key: bytes, nonce: bytes, now: datetime
    ) -> Document:
        """Prove that the document is of an allowed image, of this connection, and made for this nonce.

        Raises IntegrityError that names the field or the register, ConfigError for images that pin nothing.
        """

        def prove() -> Document:
            return verify(
                document,
                root_sha256=self.root_sha256,
                at=now,
                pcrs=self.images or None,
                nonce=nonce,
                user_data=transcript,
                public_key=session_key,
                allow_debug=self.allow_debug,
            )

        try:
            return await asyncio.to_thread(prove)
        except MalformedError as error:
            raise IntegrityError(error.message) from error
