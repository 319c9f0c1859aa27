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


_CONTEXT = (
    "The policy must allow the encryption context of the call too: {user_id} for a tenant's key, {key_id} "
    "otherwise (kms-policy build --context-keys key_id,user_id)"
)
_CLOSED = (
    "the KMS key's policy does not open to this enclave with these credentials: compare the PCR0 "
    f"with kms:RecipientAttestation in the policy, and look at the permissions of the role. {_CONTEXT}"
)
_NO_DATA_KEY = (
    "allow kms:GenerateDataKey in the KMS key's policy, for this role and with kms:RecipientAttestation of "
    f"this image. {_CONTEXT}. Or set `sealing: kms-encrypt-v0`, which needs kms:Encrypt instead"
)
_CHANGED = "the stored blob was changed, or was sealed by another KMS key; restore the key file from a backup"
_NOT_LISTED = (
    "the measured settings of the image list the schemes that it seals and opens by: choose one of them "
    "with `sealing:`, or use an image that lists this one"
)
_AGAIN = "the same request may be sent again"

_RULES: tuple[tuple[tuple[tuple[str, ...], ...], type[SignatoryError], str], ...] = (
    (
        (("AccessDenied", "GenerateDataKey"), ("not authorized to perform", "GenerateDataKey")),
        DeniedError,
        _NO_DATA_KEY,
    ),
    ((("AccessDenied",), ("not authorized to perform",)), DeniedError, _CLOSED),
    ((("ExpiredToken",),), ExpiredError, "the AWS credentials have expired; give the daemon fresh ones"),
    (
        (
            ("UnrecognizedClient",),
            ("InvalidSignature",),
            ("IncompleteSignature",),
            ("MissingAuthenticationToken",),
        ),
        UnavailableError,
        "AWS does not know these credentials, or this machine's clock is wrong",
    ),
    (
        (
            ("InvalidCiphertext",),
            ("IncorrectKey",),
            ("deserialization error",),
            ("substitution",),
            ("sealed record",),
        ),
        IntegrityError,
        _CHANGED,
    ),
    (
        (("not sealed to the key of this connection",),),
        IntegrityError,
        "what was encrypted to the enclave did not reach it as it was sent: something stands between",
    ),
    (
        (("schemes",),),
        UnavailableError,
        _NOT_LISTED,
    ),
    (
        (("serves the extended protocol only",),),
        UnavailableError,
        "this image does not serve the reference protocol; set `enclave_protocol: extended`",
    ),
    (
        (("unknown variant",),),
        UnavailableError,
        "this enclave image does not know the call or the key family; use a newer one",
    ),
    ((("Throttling",),), UnavailableError, "KMS asks for fewer calls; it is tried again later"),
    ((("too many calls are under way",),), UnavailableError, _AGAIN),
)
"""Which words, all of one group and each in some link of the chain, mean what; the first rule that fits."""

_GIVEN_UP = ("deadline", "cancelled")
"""How the enclave begins when it gave a call up itself."""


def explain(what: str, error: RemoteError) -> SignatoryError:
    """The refusal as one of our families; the enclave's own words stay in the text."""
    text = f"{what}: {error.message}"
    if error.chain[0] in _GIVEN_UP:
        return UnavailableError(text, hint=_AGAIN)
    for groups, family, hint in _RULES:
        if any(all(error.mentions(word) for word in words) for words in groups):
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
