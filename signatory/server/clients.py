"""Who asks: the signature of a client key in the query of a request. Source: signatory-compat §1.6."""

from signatory.crypto.curves import Purpose
from signatory.crypto.keypair import Verifier
from signatory.errors import DeniedError, MalformedError, UnauthenticatedError
from signatory.policy.values import Policy
from signatory.tezos.auth import client_bytes
from signatory.tezos.keys import PublicKey, PublicKeyHash, Signature

MISSING = "missing authentication signature field"
INVALID = "invalid authentication signature"


class Clients:
    """The client keys of one policy, prepared once."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        keys = policy.clients
        self._known = None if keys is None else tuple((key, _verifier(key)) for key in keys)

    def hashes(self) -> list[str]:
        """The hashes of the keys, in the order of the configuration."""
        return [key.id for key, _ in self._known or ()]

    def identify(self, pkh: PublicKeyHash, message: bytes, signature: str | None) -> str | None:
        """The hash of the client key that signed; None where clients are not asked who they are.

        Raises UnauthenticatedError without a signature, MalformedError for one that cannot be read,
        DeniedError for one that no known key made.
        """
        if self._known is None:
            return None
        if not signature:
            raise UnauthenticatedError(MISSING)
        given = _parse(signature)
        signed = client_bytes(pkh, message)
        for key, verifier in self._known:
            if given.type in {None, key.type} and verifier.verify(signed, given.data):
                return key.id
        raise DeniedError(INVALID)


def _parse(signature: str) -> Signature:
    try:
        return Signature.parse(signature)
    except MalformedError as error:
        raise MalformedError(f"{INVALID}: {error}") from error


def _verifier(key: PublicKey) -> Verifier:
    return Verifier(key.type, key.data, Purpose.TEZOS)
