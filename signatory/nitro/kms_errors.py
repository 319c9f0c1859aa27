"""KMS's refusals: names and statuses as it sends them, our family for each, and what to do about it."""

import contextlib
import re
from collections.abc import Mapping

from signatory.errors import DeniedError, IntegrityError, MalformedError, SignatoryError, UnavailableError
from signatory.nitro import kms_json

_STATUS: Mapping[str, int] = {
    "KMSInternalException": 500,
    "KeyUnavailableException": 500,
    "InternalFailure": 500,
    "DependencyTimeoutException": 503,
    "ServiceUnavailableException": 503,
}
"""What is not here is 400."""

_TRANSIENT = frozenset(_STATUS) | {
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "LimitExceededException",
}
_EXPIRED = "ExpiredTokenException"
_CREDENTIALS = frozenset(
    {
        _EXPIRED,
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "IncompleteSignatureException",
        "MissingAuthenticationTokenException",
    }
)
_FOREIGN_CIPHERTEXT = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_DENIED = frozenset({"AccessDeniedException", "AccessDenied"})
_KEY_STATE = frozenset(
    {"NotFoundException", "DisabledException", "KMSInvalidStateException", "InvalidKeyUsageException"}
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_UNNAMED = "UnknownError"
_MAX_MESSAGE = 1024


class KmsError(SignatoryError):
    """KMS refused. `name` is its `__type`, `status` the HTTP status, `kms_message` its own words."""

    def __init__(self, name: str, kms_message: str, status: int, *, hint: str | None = None) -> None:
        super().__init__(f"KMS answered {name} (HTTP {status}): {kms_message or 'no message'}", hint=hint)
        self.name, self.kms_message, self.status = name, kms_message, status

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.name in _TRANSIENT or self.status >= 500 or self.status == 429

    @property
    def expired(self) -> bool:
        """Whether new credentials would help at once."""
        return self.name == _EXPIRED


class KmsDeniedError(KmsError, DeniedError):
    """Neither permission nor policy opens; a PCR that does not match looks the same."""


class KmsUnavailableError(KmsError, UnavailableError):
    """KMS does not serve us now: throttled, broken, credentials or key unusable, request not understood."""


class KmsIntegrityError(KmsError, IntegrityError):
    """The ciphertext is not one that this key made in this context."""


def error(name: str, message: str, status: int | None = None) -> KmsError:
    """The error of that name, in its family. `status` is AWS's own for the name when it is not given."""
    known = _STATUS.get(name, 400) if status is None else status
    if name in _DENIED:
        hint = (
            "the key's policy must allow this role with the PCRs of the running enclave image: compare "
            "its PCR0 with the policy's kms:RecipientAttestation conditions, then the role's permissions"
        )
        return KmsDeniedError(name, message, known, hint=hint)
    if name in _FOREIGN_CIPHERTEXT:
        hint = (
            "the sealed key was made under another KMS key or in another encryption context, or it is damaged"
        )
        return KmsIntegrityError(name, message, known, hint=hint)
    return KmsUnavailableError(name, message, known, hint=_hint(name))


def encode_error(failure: KmsError) -> bytes:
    """The body of a refusal; its HTTP status is `failure.status`."""
    return kms_json.encode({"__type": failure.name, "message": failure.kms_message})


def decode_error(status: int, body: bytes) -> KmsError:
    """Read a refusal; a body that is none (a proxy's HTML) gives a KmsError too."""
    try:
        members = kms_json.decode(body)
        kind = members.text("__type") or members.text("code") or ""
        message = _message(members)
    except MalformedError:
        kind, message = "", "the answer is not one of KMS"
    name = kind.rpartition("#")[2].partition(":")[0]
    return error(name if _NAME.fullmatch(name) else _UNNAMED, _printable(message), status)


def _message(members: kms_json.Members) -> str:
    """KMS's own words; an InvalidCiphertextException comes with an empty text or none."""
    for name in ("message", "Message"):
        with contextlib.suppress(MalformedError):
            if text := members.text(name, kms_json.MAX_BODY):
                return text
    return ""


def _hint(name: str) -> str | None:
    if name in _CREDENTIALS:
        return "the AWS credentials are expired or wrong, or this clock is: renew them, compare the time"
    if name in _KEY_STATE:
        return "look at the KMS key: it must exist in this region, be enabled and be for encryption"
    return "the request is repeated with back-off" if name in _TRANSIENT else None


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:_MAX_MESSAGE])
