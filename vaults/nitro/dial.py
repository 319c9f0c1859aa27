"""How the enclave is reached and what it must be; and what either protocol can do once it is reached."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from signatory.crypto.curves import KeyType
from signatory.crypto.keypair import KeyPair
from signatory.net.vsock import Address
from signatory.rpc.messages import Credentials, Imported
from vaults.nitro import negotiation
from vaults.nitro.storage.record import SealedKey
from vaults.nitro.trust import Trust
from vaults.nitro.wishes import Made, Wish

T = TypeVar("T")


class Memory(Protocol):
    """Where it is remembered that the extended protocol was spoken: beside the keys."""

    async def is_extended(self) -> bool: ...

    async def remember_extended(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Dial:
    """What a connection is made with."""

    address: Address
    timeout: float
    """Seconds that one call may take."""
    credentials: Callable[[], Awaitable[Credentials]]
    """Those of now."""
    kms_key: str
    """The KMS key that seals, as the configuration names it."""
    protocol: negotiation.Protocol
    trust: Callable[[datetime], Trust]
    """Whom to trust at that time; raises ConfigError where that is nobody."""
    memory: Memory


class Client(Protocol):
    """What the clients of both protocols have in common: vaults.nitro.client and vaults.nitro.channel."""

    closed: asyncio.Event
    reason: str
    at_fault: bool

    async def call(
        self, request: Any, expected: type[T], within: float, *, key_type: KeyType | None = None
    ) -> T: ...

    def blame(self, reason: str) -> None: ...

    async def retire(self, reason: str) -> None: ...

    async def finish(self, reason: str) -> None: ...


class Speech(Protocol):
    """One protocol on one connection. Every method raises RemoteError where the enclave says no.

    What a protocol has no words for is a NotSpokenError.
    """

    is_extended: bool

    @property
    def client(self) -> Client: ...

    @property
    def parallel(self) -> int:
        """Keys that are handed over at a time; calls by handle find room beside them."""
        ...

    async def begin(self, credentials: Credentials) -> None:
        """From the first call until keys can be handed over."""
        ...

    async def renew(self) -> bool:
        """Hand over credentials that differ from the last ones; False where there are no others to be had."""
        ...

    async def load(self, key: SealedKey, within: float) -> Imported: ...

    async def generate(self, wish: Wish, within: float) -> Made:
        """Raises IntegrityError where what comes is not what was asked for."""
        ...

    async def take(self, pair: KeyPair, wish: Wish, within: float) -> Made:
        """As `generate`, of a key that was made elsewhere."""
        ...
