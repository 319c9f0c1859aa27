"""What the KMS emulator does for a known caller: recipient, key, policy, then the operation.

Refusals are KmsError with the names and words of AWS. Sources: AWS KMS API Reference and Developer Guide.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cli.local import kms_blob
from cli.local.faults import Faults
from cli.local.kms_state import Credential, Key, KmsState
from signatory.errors import MalformedError, SignatoryError
from signatory.nitro import attestation, cms, keypolicy, kms
from signatory.nitro.kms_errors import error

MAX_DOCUMENT_AGE = timedelta(minutes=5)
_MAX_AHEAD = timedelta(minutes=1)
"""How far a document's time may lie before the emulator's own."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who a verified document speaks for."""

    public_key: bytes
    pcrs: Mapping[int, bytes]


class Operations:
    """The four operations over the keys of one state folder."""

    def __init__(
        self, state: KmsState, root_sha256: bytes, clock: Callable[[], datetime], faults: Faults
    ) -> None:
        self._state, self._root, self._clock, self._faults = state, root_sha256, clock, faults

    def do(self, request: kms.Request, caller: Credential) -> kms.Reply:
        """The reply. Raises KmsError."""
        if isinstance(request, kms.GenerateRandom):
            return self._secret(
                os.urandom(request.size), self._recipient(request.recipient), "GenerateRandom"
            )
        document = None if isinstance(request, kms.Encrypt) else request.recipient
        recipient = self._recipient(document)
        key = self._key_of(request)
        self._authorize(key, request, caller, recipient)
        match request:
            case kms.Encrypt(_, plaintext, context):
                return kms.Encrypted(_seal(key, plaintext, context), key.arn)
            case kms.Decrypt(ciphertext, _, context):
                opened = self._open(key, ciphertext, context)
                return kms.Decrypted(self._secret(opened, recipient, "Decrypt"), key.arn)
            case kms.GenerateDataKey(_, size, context):
                made = os.urandom(size)
                secret = self._secret(made, recipient, "GenerateDataKey")
                return kms.DataKey(secret, _seal(key, made, context), key.arn)

    def _recipient(self, document: bytes | None) -> Recipient | None:
        if document is None:
            return None
        now = self._clock()
        try:
            verified = attestation.verify(document, root_sha256=self._root, at=now, allow_debug=True)
        except SignatoryError as failure:
            raise error("ValidationException", f"The attestation document is not valid: {failure}") from None
        if not now - MAX_DOCUMENT_AGE <= verified.time <= now + _MAX_AHEAD:
            raise error("ValidationException", "The attestation document is expired.")
        if not verified.public_key:
            raise error("ValidationException", "The attestation document has no public key.")
        return Recipient(verified.public_key, verified.pcrs)

    def _key_of(self, request: kms.Encrypt | kms.Decrypt | kms.GenerateDataKey) -> Key:
        if not isinstance(request, kms.Decrypt):
            return self._usable(request.key_id)
        key = self._key_of_blob(request.ciphertext)
        if request.key_id is not None and self._usable(request.key_id).arn != key.arn:
            raise error(
                "IncorrectKeyException",
                "The key ID in the request does not identify a CMK that can perform this operation.",
            )
        return key

    def _key_of_blob(self, blob: bytes) -> Key:
        try:
            key = self._state.find_key(kms_blob.key_id_of(blob))
        except MalformedError:
            raise error("InvalidCiphertextException", "") from None
        if key is None:
            raise error(
                "AccessDeniedException",
                "The ciphertext refers to a customer master key that does not exist, "
                "does not exist in this region, or you are not allowed to access.",
            )
        return _enabled(key)

    def _usable(self, key_id: str) -> Key:
        key = self._state.find_key(key_id)
        if key is None:
            raise error("NotFoundException", f"Key '{key_id}' does not exist")
        return _enabled(key)

    def _authorize(
        self,
        key: Key,
        request: kms.Encrypt | kms.Decrypt | kms.GenerateDataKey,
        caller: Credential,
        recipient: Recipient | None,
    ) -> None:
        action = f"kms:{type(request).__name__}"
        context = keypolicy.context_of(None if recipient is None else recipient.pcrs, request.context)
        try:
            verdict = keypolicy.evaluate(key.policy, action, caller.principal, context, resource=str(key.arn))
        except MalformedError as failure:
            raise error("AccessDeniedException", f"The key policy cannot be read: {failure}") from None
        if not verdict.allowed:
            raise error("AccessDeniedException", verdict.reason)

    def _open(self, key: Key, blob: bytes, context: Mapping[str, str]) -> bytes:
        try:
            return kms_blob.open_blob(key.material, blob, context)
        except MalformedError:
            raise error("InvalidCiphertextException", "") from None

    def _secret(self, plaintext: bytes, recipient: Recipient | None, operation: str) -> kms.Secret:
        if recipient is None or self._faults.take("plaintext", operation):
            return kms.Secret(plaintext=plaintext)
        try:
            return kms.Secret(for_recipient=cms.build(recipient.public_key, plaintext, entropy=os.urandom))
        except MalformedError as failure:
            raise error("ValidationException", f"The attestation document is not valid: {failure}") from None


def _seal(key: Key, plaintext: bytes, context: Mapping[str, str]) -> bytes:
    return kms_blob.seal(key.arn.key_id, key.material, plaintext, context, os.urandom(12))


def _enabled(key: Key) -> Key:
    if key.state == "Disabled":
        raise error("DisabledException", f"{key.arn} is disabled.")
    if key.state != "Enabled":
        raise error("KMSInvalidStateException", f"{key.arn} is pending deletion.")
    return key
