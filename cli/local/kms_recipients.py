"""Whom the KMS emulator seals its answers for: the attestation document of a request, proved.

A chain of certificates is proved once in a while, a document's own signature and age each time: a client that
decrypts ten thousand keys shows the same chain ten thousand times.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from signatory.errors import SignatoryError
from signatory.nitro import attestation, certchain, cose
from signatory.nitro.kms_errors import KmsError, error

MAX_DOCUMENT_AGE = timedelta(minutes=5)
_MAX_AHEAD = timedelta(minutes=1)
"""How far a document's time may lie before the emulator's own."""

_PROVED_FOR = timedelta(minutes=1)
_MAX_CHAINS = 16

_Chain = tuple[bytes, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who a verified document speaks for."""

    public_key: bytes
    pcrs: Mapping[int, bytes]


class Recipients:
    """The documents that descend from one root."""

    def __init__(self, root_sha256: bytes, clock: Callable[[], datetime]) -> None:
        self._root, self._clock = root_sha256, clock
        self._proved: dict[_Chain, tuple[datetime, EllipticCurvePublicKey]] = {}

    def recipient(self, document: bytes) -> Recipient:
        """Raises KmsError, ValidationException, for a document that is not good now."""
        now = self._clock()
        try:
            found = attestation.parse(document)
            cose.verify1(cose.parse1(document), self._leaf_key(found, now))
        except SignatoryError as failure:
            raise _refusal(f"is not valid: {failure}") from None
        if not now - MAX_DOCUMENT_AGE <= found.time <= now + _MAX_AHEAD:
            raise _refusal("is expired.")
        if not found.public_key:
            raise _refusal("has no public key.")
        return Recipient(found.public_key, found.pcrs)

    def _leaf_key(self, document: attestation.Document, now: datetime) -> EllipticCurvePublicKey:
        chain = document.certificate, document.cabundle
        at, key = self._proved.get(chain, (None, None))
        if at is not None and key is not None and at <= now < at + _PROVED_FOR:
            return key
        key = certchain.leaf_key(*chain, root_sha256=self._root, at=now)
        if len(self._proved) >= _MAX_CHAINS:
            self._proved.clear()
        self._proved[chain] = now, key
        return key


def _refusal(what: str) -> KmsError:
    return error("ValidationException", f"The attestation document {what}")
