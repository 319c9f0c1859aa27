"""The calls that come after Hello, and their replies, as values. Their bytes: calls, answers, hello.

Sign, GetPublicKey and ProvePossession are the reference's own and mean the same here.
"""

from dataclasses import dataclass, field

from signatory.crypto.curves import KeyType, Purpose
from signatory.nitro.checkpoint import Checkpoint
from signatory.nitro.sealed import KeyName, Scheme
from signatory.rpc.values import (
    GetPublicKey,
    Imported,
    Proof,
    ProvePossession,
    Public,
    Sign,
    Signed,
)


@dataclass(frozen=True, slots=True)
class Attest:
    """An attestation document over this connection; the nonce is the caller's, 16 to 512 bytes."""

    nonce: bytes


@dataclass(frozen=True, slots=True)
class RenewCredentials:
    """Credentials, for the first time or anew: `sealed` is HPKE over encode_credentials."""

    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class GenerateAttested:
    """Make a key, seal it, certify its birth, and keep it under a handle."""

    key_type: KeyType
    purpose: Purpose
    scheme: Scheme
    user_id: str | None = None
    nonce: bytes | None = None
    """The caller's challenge for the nonce of the document, 16 to 512 bytes."""


@dataclass(frozen=True, slots=True)
class ImportSealed:
    """Take a key made elsewhere: `sealed` is HPKE over encode_secret. As GenerateAttested otherwise."""

    sealed: bytes = field(repr=False)
    purpose: Purpose
    scheme: Scheme
    user_id: str | None = None
    nonce: bytes | None = None


@dataclass(frozen=True, slots=True)
class LoadSealed:
    """Open a sealed key and keep it under a handle.

    `name` is what the record must be exactly. With kms-encrypt-v0 the blob says nothing of itself, and
    `public` of the name may be empty where the store never knew it: then the id alone decides.
    """

    name: KeyName
    scheme: Scheme
    blob: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProvePossessionOf:
    """The proof of a BLS key over another BLS public key, an aggregate's."""

    handle: int
    public: bytes


@dataclass(frozen=True, slots=True)
class SignCheckpoint:
    """On the wire `Checkpoint`: signed by a checkpoint key; a sequence below the last one is refused."""

    handle: int
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Status:
    """How the enclave is."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give up the call with this id; that call is answered with an error, this one with nothing."""

    id: int


Call = (
    Attest
    | RenewCredentials
    | GenerateAttested
    | ImportSealed
    | LoadSealed
    | Sign
    | GetPublicKey
    | ProvePossession
    | ProvePossessionOf
    | SignCheckpoint
    | Status
    | Cancel
)


@dataclass(frozen=True, slots=True)
class Attested:
    """To Attest."""

    document: bytes


@dataclass(frozen=True, slots=True)
class Born:
    """To GenerateAttested and ImportSealed."""

    name: KeyName
    kms_key_arn: str
    blob: bytes = field(repr=False)
    handle: int
    statement: bytes = field(repr=False)
    attestation: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EnclaveStatus:
    """To Status: the release, and counts. Nothing secret, nothing of other hosts' keys."""

    release: str
    uptime: int
    """Whole seconds."""
    sessions: int
    keys: int
    """Keys of this session."""
    kms_calls: int
    """Tries of calls to KMS since the start."""


Answer = Attested | Born | Imported | Signed | Public | Proof | EnclaveStatus | None
"""None answers RenewCredentials. Nothing answers Cancel."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A call on the wire. `id` counts up on a connection; `within` is milliseconds, None for no limit."""

    id: int
    call: Call
    within: int | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame. `nonce` is 32 random bytes."""

    nonce: bytes
    version: int = 1


@dataclass(frozen=True, slots=True)
class Welcome:
    """The reply to Hello. `session_key` is an X25519 key of this connection."""

    nonce: bytes
    session_key: bytes
    in_flight: int
    """Calls that may be under way at a time."""
    frame_limit: int
    """Bytes of the longest frame that is taken."""
    schemes: tuple[str, ...]
    """What this enclave seals and opens by; names this release does not know are kept."""
    reference_protocol: bool
    """Whether it serves the reference's protocol too."""
    release: str
    version: int = 1
