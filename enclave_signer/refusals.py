"""How an error reads on the wire: its text, and the texts of what caused it, in the reference's words."""

from enclave_signer.https import DispatchError
from enclave_signer.kms import AttestationError, DecryptDeniedError
from enclave_signer.sealing import SealedKeyError
from signatory.errors import IntegrityError, NotFoundError, SignatoryError, UnavailableError
from signatory.nitro.kms_errors import KmsError


class Refusal(SignatoryError):  # noqa: N818 - an answer that the protocol knows, not a fault
    """A request that the session does not serve; `chain` is what the host gets."""

    kind = "denied"

    def __init__(self, *chain: str) -> None:
        super().__init__(": ".join(chain))
        self.chain = chain


_OUTER: dict[type[SignatoryError], tuple[str, ...]] = {
    KmsError: ("encryption error", "SDK error", "service error"),
    DispatchError: ("encryption error", "SDK error", "dispatch failure"),
    AttestationError: ("encryption error", "attestation error"),
    SealedKeyError: ("deserialization error",),
    NotFoundError: ("signer error",),
    UnavailableError: ("encryption error",),
    IntegrityError: ("encryption error",),
}
"""What stands before our own text; the first family that fits decides."""


def chain_of(error: SignatoryError) -> tuple[str, ...]:
    """The error and its sources, outermost first; no secret is in them, as in no error of ours."""
    if isinstance(error, Refusal):
        return error.chain
    outer = next((words for family, words in _OUTER.items() if isinstance(error, family)), ())
    return (*outer, *(_service(error) if isinstance(error, KmsError) else (error.message,)))


def _service(error: KmsError) -> tuple[str, ...]:
    text = f"{error.name}: {error.kms_message}" if error.kms_message else error.name
    if isinstance(error, DecryptDeniedError):
        return text, f"PCR0 of this enclave is {error.pcr0}; the key's policy must allow it"
    return (text,)
