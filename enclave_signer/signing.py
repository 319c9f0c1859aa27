"""What a key under a handle does, in either protocol; a request that does not fit it is a `signer error`."""

from collections.abc import Iterator
from contextlib import contextmanager

from enclave_signer.refusals import Refusal
from signatory.crypto.curves import SigningVersion
from signatory.crypto.keypair import KeyPair
from signatory.errors import MalformedError
from signatory.rpc.values import Proof, Public, Signed


def sign(pair: KeyPair, message: bytes, version: SigningVersion) -> Signed:
    """Raises Refusal, and DeniedError for a checkpoint key."""
    with _as_refusals():
        return Signed(pair.type, pair.sign(message, version))


def prove(pair: KeyPair, over: bytes | None = None) -> Proof:
    """The proof of a BLS key over its own public part, or over another BLS public key. Raises Refusal."""
    with _as_refusals():
        return Proof(pair.prove(over))


def public(pair: KeyPair) -> Public:
    return Public(pair.type, pair.public)


@contextmanager
def _as_refusals() -> Iterator[None]:
    try:
        yield
    except MalformedError as error:
        raise Refusal("signer error", error.message) from error
