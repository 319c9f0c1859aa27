"""What a vault is: something that holds keys, signs with them, and never gives them away.

A driver implements `Vault` and, where it can, the small Protocols after it; callers find these by
`isinstance`. There is no base class. Drivers raise only errors of `signatory.errors`; whatever else went
wrong is mapped at their own edge.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from pydantic import BaseModel

from signatory.crypto.curves import KeyType, Purpose, SigningVersion
from signatory.crypto.keypair import KeyPair
from signatory.tezos.keys import PublicKey


@dataclass(frozen=True, slots=True)
class VaultKey:
    """A key as its vault shows it: public part, purpose, and the vault's own name for it (may be empty)."""

    public_key: PublicKey
    purpose: Purpose
    reference: str = ""

    @property
    def id(self) -> str:
        """`tz1...` to `tz5...`, or `mldsa65:` / `mldsa87:` and 40 hex digits."""
        return self.public_key.id


@dataclass(frozen=True, slots=True)
class Call:
    """What travels with a request through every seam: its id, and how long each hop may still take."""

    request_id: str
    timeout: float = 30.0
    """Seconds left for this call when it was made."""


@dataclass(frozen=True, slots=True)
class KeyBirth:
    """An enclave's statement over a key it made or took, and the attestation document over the statement."""

    statement: bytes = field(repr=False)
    """Deterministic CBOR; signatory.nitro.birth reads it."""
    attestation: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a vault can sign now; when not, `reason` says why in a sentence for the operator."""

    ready: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VaultContext:
    """What the composition gives a driver beside its own configuration.

    `password` asks the operator for the secret that the prompt names; it raises ConfigError where nobody can
    be asked. `serving` is true only inside `signatory serve`.
    """

    name: str
    base_dir: Path
    password: Callable[[str], str] = field(repr=False)
    serving: bool = False


@runtime_checkable
class Vault(Protocol):
    """The contract of every driver."""

    Config: ClassVar[type[BaseModel]]
    """The driver's configuration; the block under `vaults.<name>.config` is validated against it."""

    label: str
    """The name in metrics, logs and key listings, such as `NitroEnclave`."""

    @classmethod
    async def open(cls, config: Any, context: VaultContext) -> Self:
        """Do all opening I/O. Raises ConfigError, UnavailableError, DeniedError or IntegrityError."""
        ...

    async def list(self) -> Sequence[VaultKey]:
        """The keys that can sign now, in a stable order; picks up keys that others added since."""
        ...

    async def sign(self, key: VaultKey, message: bytes, version: SigningVersion, call: Call) -> bytes:
        """Sign the whole message (hashing is the vault's business); the signature in wire form.

        Raises NotFoundError, UnavailableError (also past `call.timeout`), MalformedError, IntegrityError. A
        cancelled call leaves nothing behind that could meet another call.
        """
        ...

    def readiness(self) -> Readiness:
        """Whether the vault can sign now; answers at once, from what it knows."""
        ...

    async def close(self) -> None:
        """Release everything; idempotent."""
        ...


@runtime_checkable
class Prover(Protocol):
    """A vault that can prove possession of its BLS keys."""

    async def prove_possession(self, key: VaultKey, call: Call) -> bytes:
        """The 96-byte proof over the key's own public key. Raises MalformedError for another family."""
        ...


@runtime_checkable
class AggregateProver(Protocol):
    """A vault that can prove possession of its BLS keys over another public key, an aggregate's."""

    async def prove_possession_of(self, key: VaultKey, public_key: bytes, call: Call) -> bytes:
        """The 96-byte proof by `key` over these 48 bytes of a public key; the caller decides whose.

        Raises MalformedError for another family, and for what is no BLS public key.
        """
        ...


@runtime_checkable
class Resettable(Protocol):
    """A vault whose answers come over a connection that can get out of step."""

    async def reset(self, reason: str) -> None:
        """Forget that connection: an answer that came over it does not verify. Never raises."""
        ...


@runtime_checkable
class Withholding(Protocol):
    """A vault that may store keys which cannot sign, and knows which."""

    def withheld(self, key_id: str) -> str | None:
        """Why this key, which is stored, does not sign now; None for one that is not stored. At once."""
        ...


@runtime_checkable
class Generator(Protocol):
    """A vault that makes keys."""

    async def generate(self, key_type: KeyType, purpose: Purpose, call: Call) -> VaultKey:
        """Make one key; when this returns, the key is stored durably and was read back."""
        ...


@runtime_checkable
class TenantGenerator(Protocol):
    """A vault that makes keys which belong to a tenant."""

    async def generate_for(self, user_id: str, key_type: KeyType, purpose: Purpose, call: Call) -> VaultKey:
        """As Generator.generate; `user_id` is sealed with the key. Raises MalformedError for a bad one."""
        ...


@runtime_checkable
class Certified(Protocol):
    """A vault whose keys have birth certificates."""

    def birth(self, key_id: str) -> KeyBirth | None:
        """What is stored of the key's birth; None where nothing is. At once."""
        ...


@runtime_checkable
class Checkpointer(Protocol):
    """A vault that puts its word to the head of somebody's chain, by a key that signs nothing else.

    What is signed: signatory.nitro.checkpoint.
    """

    async def checkpoint_key(self, call: Call) -> VaultKey:
        """The key that signs checkpoints, made and stored at the first use; `list` does not show it."""
        ...

    async def checkpoint(self, sequence: int, digest: bytes, call: Call) -> tuple[PublicKey, bytes]:
        """The key's public part and its signature over the 32-byte head of a chain, at this place in it.

        Raises MalformedError for a digest or a sequence of another shape, UnavailableError where the enclave
        refuses, as it does a sequence below the last one.
        """
        ...


@runtime_checkable
class Importer(Protocol):
    """A vault that takes keys made elsewhere."""

    async def import_key(self, pair: KeyPair, call: Call) -> VaultKey:
        """Take the key; when this returns, it is stored durably and was read back.

        Raises MalformedError for a duplicate.
        """
        ...


@dataclass(frozen=True, slots=True)
class Registration:
    """One entry under `vaults:`: the driver, its validated configuration, and what it is opened with."""

    name: str
    driver: type[Vault]
    config: BaseModel
    context: VaultContext
    driver_name: str = ""
    """What the configuration calls the driver, such as `nitro`."""
