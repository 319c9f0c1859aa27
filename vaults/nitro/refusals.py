"""What an enclave's refusal means to the operator: the family it belongs to, and what to do about it.

Source: KMS error names, enclave-kms-attestation §5.5; texts of the enclave, §1.6.
"""

from collections.abc import Sequence

from signatory.errors import DeniedError, IntegrityError, SignatoryError, UnavailableError
from signatory.rpc.messages import RemoteError

NAMED = 3
"""How many refused keys the reason of readiness names."""


class ExpiredError(UnavailableError):
    """The credentials that the enclave was given are over; what it holds goes on signing."""


_CLOSED = (
    "the KMS key's policy does not open to this enclave with these credentials: compare the PCR0 "
    "with kms:RecipientAttestation in the policy, and look at the permissions of the role"
)

_RULES: tuple[tuple[tuple[str, ...], type[SignatoryError], str], ...] = (
    (
        ("AccessDenied", "not authorized to perform"),
        DeniedError,
        _CLOSED,
    ),
    (("ExpiredToken",), ExpiredError, "the AWS credentials have expired; give the daemon fresh ones"),
    (
        ("UnrecognizedClient", "InvalidSignature", "IncompleteSignature", "MissingAuthenticationToken"),
        UnavailableError,
        "AWS does not know these credentials, or this machine's clock is wrong",
    ),
    (
        ("InvalidCiphertext", "IncorrectKey", "deserialization error"),
        IntegrityError,
        "the stored blob was changed, or was sealed by another KMS key; restore the key file from a backup",
    ),
    (
        ("unknown variant",),
        UnavailableError,
        "this enclave image does not know the key family; use a newer one",
    ),
    (("Throttling",), UnavailableError, "KMS asks for fewer calls; it is tried again later"),
)


def explain(what: str, error: RemoteError) -> SignatoryError:
    """The refusal as one of our families; the enclave's own words stay in the text."""
    text = f"{what}: {error.message}"
    for words, family, hint in _RULES:
        if any(error.mentions(word) for word in words):
            return family(text, hint=hint)
    return UnavailableError(text)


def sentence(error: SignatoryError) -> str:
    """What happened and what to do, in one line for the operator."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


def left_out(refused: Sequence[SignatoryError]) -> str:
    """The reason of a vault that is ready without some of its keys; empty where there are none."""
    if not refused:
        return ""
    more = f"; and {len(refused) - NAMED} more" if len(refused) > NAMED else ""
    return "left out: " + "; ".join(sentence(error) for error in refused[:NAMED]) + more
