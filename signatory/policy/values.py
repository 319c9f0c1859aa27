"""The values of policy: what a key may sign, who asks, and what was decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from signatory.jwt import User
from signatory.tezos.keys import PublicKey

DEFAULT_SPAN = 60.0
"""Seconds that a rate looks back, unless told."""

MAX_RATE = 10_000
"""Requests that a rate may count: as many times are remembered for each key."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """How much one key may do. None means no limit; an empty set of destinations allows none."""

    max_amount: int | None = None
    """Mutez that all operations of one request may move together."""
    max_fee: int | None = None
    """Mutez of fees of all operations of one request together."""
    destinations: frozenset[str] | None = None
    """Accounts that operations may pay or hand rights to: `tz1...`, `KT1...`, `sr1...`."""
    rate: int | None = None
    """Requests that may be signed within any `rate_seconds`, at least 1 and at most MAX_RATE."""
    rate_seconds: float = DEFAULT_SPAN
    max_level_step: int | None = None
    """Levels that one request may lie above the mark of its slot."""


NO_LIMITS = KeyLimits()


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """What one key may sign. None for chains or clients means any; an empty set means none."""

    requests: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()
    allowed_chains: frozenset[str] | None = None
    authorized_keys: frozenset[str] | None = None
    """Hashes of client keys, `tz1...`."""
    jwt_users: frozenset[str] | None = None
    """Names of users who may ask for this key where clients log in; None: every user."""
    allow_proof_of_possession: bool = False
    prove_possession_for: frozenset[str] = frozenset()
    """Aggregate public keys, `BLpk...`, for which this key may make a proof beside its own."""
    allow_trailing_bytes: bool = False
    """Sign what stands after the end of a block, consensus operation or packed value, as Signatory does."""
    log_payloads: bool = False
    limits: KeyLimits = NO_LIMITS


DEFAULT_KEY_POLICY = KeyPolicy(requests=frozenset({"block", "preattestation", "attestation"}))
"""What a key listed without settings may sign: consensus, no operations."""


@dataclass(frozen=True, slots=True)
class Policy:
    """An immutable snapshot: a policy for each listed key hash, and who is known.

    `clients` is None where clients need not sign their requests; an empty tuple lets nobody in. `users` is
    None where clients need not log in.
    """

    keys: Mapping[str, KeyPolicy]
    clients: tuple[PublicKey, ...] | None = None
    users: Mapping[str, User] | None = field(default=None, repr=False)
    client_ids: frozenset[str] | None = field(init=False, repr=False, compare=False)
    """The hashes of `clients`."""

    def __post_init__(self) -> None:
        ids = None if self.clients is None else frozenset(client.id for client in self.clients)
        object.__setattr__(self, "client_ids", ids)


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: the address of the connection, and the key it proved to hold or the user it logged in as."""

    source: str
    key_hash: str | None = None
    user: str | None = None


class Verdict(Enum):
    """What one rule says of one request; the value is the word that people and programs read."""

    PASSED = "passed"
    REFUSED = "refused"
    UNSET = "not set"
    UNJUDGED = "not judged here"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict of one rule.

    `rule` is the configuration path: below `tezos.<key>`, or `tezos`, `server.authorized_keys` and
    `server.jwt` for what holds before any key. `text` says why, for the client where the rule refuses.
    `violation` is the label of the metric, empty where Signatory counts none: for a chain, a user, and a key
    that is not listed.
    """

    rule: str
    verdict: Verdict
    text: str = ""
    violation: str = ""

    @property
    def refused(self) -> bool:
        """Whether this alone decides the request."""
        return self.verdict is Verdict.REFUSED


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer: the first refusal, or the rule that let the request through.

    `message` is for the client, empty when allowed; `rule` and `violation` are as in Outcome.
    """

    allowed: bool
    rule: str
    message: str = ""
    violation: str = ""
