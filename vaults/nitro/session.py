"""One connection to the enclave, from Initialize to its end, and the handles that mean keys on it alone."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from signatory.crypto import keypair
from signatory.crypto.curves import KeyType
from signatory.errors import IntegrityError, MalformedError, SignatoryError
from signatory.net.vsock import Address
from signatory.rpc.messages import Credentials, Import, Imported, Initialize, RemoteError
from signatory.tezos.keys import PublicKey
from vaults.nitro.client import EnclaveClient
from vaults.nitro.refusals import ExpiredError, explain
from vaults.nitro.storage.record import SealedKey


@dataclass(frozen=True, slots=True)
class Dial:
    """How to reach the enclave, the seconds that one call may take, and what Initialize hands over, fresh."""

    address: Address
    timeout: float
    credentials: Callable[[], Awaitable[Credentials]]


class Session:
    """Made by `open`. `refused` says, by key id, why the enclave did not take a key."""

    def __init__(self, client: EnclaveClient, timeout: float) -> None:
        self.client = client
        self.handles: dict[str, int] = {}
        self.refused: dict[str, SignatoryError] = {}
        self.loading = asyncio.Lock()
        self._timeout = timeout

    @property
    def expired(self) -> bool:
        """Whether keys are left out because the credentials of this session are over."""
        return any(isinstance(error, ExpiredError) for error in self.refused.values())

    @property
    def is_over(self) -> bool:
        return self.client.closed.is_set()

    @classmethod
    async def open(cls, dial: Dial) -> Self:
        """Dial and initialise. Raises UnavailableError, DeniedError, ConfigError or IntegrityError."""
        credentials = await dial.credentials()
        client = await EnclaveClient.connect(dial.address, dial.timeout)
        try:
            await client.call(Initialize(credentials), type(None), dial.timeout)
        except BaseException as error:
            await client.finish("the enclave was not initialised")
            if isinstance(error, RemoteError):
                raise explain("the enclave refuses to be initialised", error) from error
            raise
        return cls(client, dial.timeout)

    async def load(self, key: SealedKey) -> PublicKey | None:
        """Hand one sealed key over; its public key, or None when it is refused, and `refused` says why.

        Raises UnavailableError or IntegrityError where the connection broke.
        """
        try:
            reply = await self.client.call(Import(key.blob), Imported, self._timeout)
        except RemoteError as error:
            self.refused[key.id] = explain(f"the enclave cannot load {key.id}", error)
            return None
        try:
            public = public_key(reply.key_type, reply.public)
            _check_same(key, public)
        except IntegrityError as error:
            self.refused[key.id] = error
            return None
        self.adopt(key.id, reply.handle)
        return public

    def adopt(self, identifier: str, handle: int) -> None:
        """The enclave holds this key under that handle."""
        self.handles[identifier] = handle
        self.refused.pop(identifier, None)


def public_key(key_type: KeyType, data: bytes) -> PublicKey:
    """The public key that an enclave names. Raises IntegrityError for bytes that are none."""
    try:
        keypair.check_public(key_type, data)
        return PublicKey(key_type, data)
    except MalformedError as error:
        raise IntegrityError(f"the enclave names a public key that is none: {error.message}") from error


def _check_same(key: SealedKey, public: PublicKey) -> None:
    if public.id != key.id or (key.public is not None and key.public != public):
        raise IntegrityError(
            f"substitution: the blob stored for {key.id} is the key {public.id}",
            hint="somebody exchanged blobs in the key store; restore it from a backup",
        )
