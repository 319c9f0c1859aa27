"""The values that pass between a host and an enclave: requests, replies, and the error of an enclave.

Values that secrets pass through hide them from `repr`. Source: reference RPC, requests and responses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from signatory.crypto.curves import KeyType, SigningVersion
from signatory.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class Credentials:
    """AWS credentials, the KMS key that seals, and the region; nothing is checked here."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    encryption_key_id: str
    region: str


@dataclass(frozen=True, slots=True)
class Initialize:
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class Import:
    """Unseal a key and keep it under a handle."""

    blob: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImportUnencrypted:
    """Seal a key that comes in the clear, and keep it under a handle."""

    key_type: KeyType
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Generate:
    """Make and seal a key, and forget it."""

    key_type: KeyType


@dataclass(frozen=True, slots=True)
class GenerateAndImport:
    """Make and seal a key, and keep it under a handle."""

    key_type: KeyType


@dataclass(frozen=True, slots=True)
class Sign:
    handle: int
    message: bytes = field(repr=False)
    version: SigningVersion = SigningVersion.LATEST


@dataclass(frozen=True, slots=True)
class SignWith:
    """Unseal a key, sign once with it, and forget it."""

    blob: bytes = field(repr=False)
    message: bytes = field(repr=False)
    version: SigningVersion = SigningVersion.LATEST


@dataclass(frozen=True, slots=True)
class GetPublicKey:
    handle: int


@dataclass(frozen=True, slots=True)
class GetPublicKeyFrom:
    blob: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProvePossession:
    handle: int


Request = (
    Initialize
    | Import
    | ImportUnencrypted
    | Generate
    | GenerateAndImport
    | Sign
    | SignWith
    | GetPublicKey
    | GetPublicKeyFrom
    | ProvePossession
)


@dataclass(frozen=True, slots=True)
class Imported:
    """To Import."""

    key_type: KeyType
    public: bytes
    handle: int


@dataclass(frozen=True, slots=True)
class Generated:
    """To Generate (no handle), GenerateAndImport and ImportUnencrypted."""

    key_type: KeyType
    public: bytes
    blob: bytes = field(repr=False)
    handle: int | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """To Sign and SignWith."""

    key_type: KeyType
    signature: bytes


@dataclass(frozen=True, slots=True)
class Public:
    """To GetPublicKey and GetPublicKeyFrom."""

    key_type: KeyType
    public: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """To ProvePossession."""

    proof: bytes


Reply = Imported | Generated | Signed | Public | Proof | None
"""None is the reply to Initialize."""


class RemoteError(UnavailableError):
    """The enclave refused. `chain` is its error and the sources of that error, outermost first."""

    def __init__(self, chain: Sequence[str]) -> None:
        super().__init__(": ".join(chain))
        self.chain = tuple(chain)

    def mentions(self, words: str) -> bool:
        """Whether any link of the chain has these words, such as the name of a KMS error."""
        return any(words in link for link in self.chain)
