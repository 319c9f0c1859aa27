"""How an error reads on the wire: its text, and the texts of what caused it, in the reference's words."""

from enclave_signer.https import DispatchError
from enclave_signer.kms import AttestationError, CallDeniedError
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
    return (text, _remedy(error)) if isinstance(error, CallDeniedError) else (text,)


def _remedy(error: CallDeniedError) -> str:
    """Which permission is missing, and what there is instead."""
    image = f"PCR0 of this enclave is {error.pcr0}; the key's policy must allow it"
    if error.operation == "GenerateDataKey":
        return (
            f"{image} kms:GenerateDataKey; or the vault is set to `sealing: kms-encrypt-v0`, which needs "
            "kms:Encrypt, and an image whose settings list that scheme under `schemes`"
        )
    if error.operation == "Encrypt":
        return "the role needs the permission kms:Encrypt, by which kms-encrypt-v0 seals"
    return image
