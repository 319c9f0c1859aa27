"""What the KMS emulator does for a known caller: recipient, key, policy, then the operation.

Told so by a fault, it does what a hostile parent would: answers in clear, names another key, or seals an
answer of its own to the recipient. Refusals are KmsError with the names and words of AWS. Sources: AWS KMS
API Reference and Developer Guide.
"""

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NoReturn

from cli.local import kms_blob
from cli.local.faults import Faults
from cli.local.kms_decided import Decided
from cli.local.kms_recipients import Recipient, Recipients
from cli.local.kms_state import Credential, Key, KmsState
from signatory.errors import MalformedError
from signatory.nitro import cms, keypolicy, kms
from signatory.nitro.kms_errors import error


class Operations:
    """The four operations over the keys of one state folder."""

    def __init__(
        self, state: KmsState, root_sha256: bytes, clock: Callable[[], datetime], faults: Faults
    ) -> None:
        self._state, self._faults = state, faults
        self._recipients = Recipients(root_sha256, clock)

    def do(self, request: kms.Request, caller: Credential) -> kms.Reply:
        """The reply. Raises KmsError."""
        if isinstance(request, kms.GenerateRandom):
            return self._secret(
                os.urandom(request.size), self._recipient(request.recipient), "GenerateRandom"
            )
        document = None if isinstance(request, kms.Encrypt) else request.recipient
        recipient = self._recipient(document)
        key = self._key_of(request)
        operation = type(request).__name__
        self._authorize(key, f"kms:{operation}", request.context, caller, recipient)
        match request:
            case kms.Encrypt(_, plaintext, context):
                return kms.Encrypted(_seal(key, plaintext, context), self._named(key, operation))
            case kms.Decrypt(ciphertext, _, context):
                opened = self._open(key, ciphertext, context)
                return kms.Decrypted(self._secret(opened, recipient, operation), self._named(key, operation))
            case kms.GenerateDataKey(_, size, context):
                made = os.urandom(size)
                secret = self._secret(made, recipient, operation)
                return kms.DataKey(secret, _seal(key, made, context), self._named(key, operation))

    def decide(self, decided: Decided, caller: Credential) -> NoReturn:
        """Raises KmsError: AWS's where key or policy refuse, UnsupportedOperationException where not."""
        for action in decided.actions:
            self._authorize(self._usable(decided.key_id), action, decided.context, caller, None)
        raise error("UnsupportedOperationException", "The policy allows it; the emulator does not do it.")

    def _recipient(self, document: bytes | None) -> Recipient | None:
        return None if document is None else self._recipients.recipient(document)

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
        action: str,
        encryption_context: Mapping[str, str],
        caller: Credential,
        recipient: Recipient | None,
    ) -> None:
        context = keypolicy.context_of(None if recipient is None else recipient.pcrs, encryption_context)
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

    def _named(self, key: Key, operation: str) -> kms.Arn:
        """The key in the answer: this one, unless a fault names another."""
        told: kms.Arn | None = self._faults.take("key", operation)
        return key.arn if told is None else told

    def _secret(self, plaintext: bytes, recipient: Recipient | None, operation: str) -> kms.Secret:
        if recipient is None or self._faults.take("plaintext", operation):
            return kms.Secret(plaintext=plaintext)
        if (forged := self._faults.take("forge", operation)) is not None:
            plaintext = forged or os.urandom(len(plaintext))
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
