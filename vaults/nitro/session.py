"""One connection to the enclave, from its first word to its end; handles mean keys on it alone."""

import asyncio
from typing import Self

from signatory.crypto.keypair import KeyPair
from signatory.errors import IntegrityError, MalformedError, SignatoryError, UnavailableError
from signatory.nitro.sealed import Scheme
from signatory.rpc.messages import Imported, RemoteError
from signatory.tezos.keys import PublicKey
from vaults.nitro.birth_check import public_key
from vaults.nitro.channel import ExtendedClient
from vaults.nitro.client import NotSentError
from vaults.nitro.dial import Client, Dial, Speech
from vaults.nitro.negotiation import connect
from vaults.nitro.refusals import ExpiredError, explain
from vaults.nitro.speech_extended import ExtendedSpeech
from vaults.nitro.speech_reference import ReferenceSpeech
from vaults.nitro.storage.record import SealedKey
from vaults.nitro.wishes import Made, NotSpokenError, Wish, check_size


class Session:
    """Made by `open`. `refused` says, by key id, why the enclave did not take a key."""

    def __init__(self, speech: Speech, timeout: float) -> None:
        self.speech = speech
        self.handles: dict[str, int] = {}
        self.refused: dict[str, SignatoryError] = {}
        self.coming: dict[str, asyncio.Event] = {}
        """Keys that are being handed over just now; the event tells when that has ended."""
        self.loading = asyncio.Lock()
        self._timeout = timeout

    @property
    def client(self) -> Client:
        return self.speech.client

    @property
    def expired(self) -> bool:
        """Whether keys are left out because the credentials of this session are over."""
        return any(isinstance(error, ExpiredError) for error in self.refused.values())

    @property
    def is_over(self) -> bool:
        return self.client.closed.is_set()

    @classmethod
    async def open(cls, dial: Dial) -> Self:
        """Dial, prove who is there where the protocol can, and hand the credentials over.

        Raises UnavailableError, DeniedError, ConfigError or IntegrityError.
        """
        credentials = await dial.credentials()
        once_extended = await dial.memory.is_extended()
        client = await connect(dial.address, dial.timeout, dial.protocol, once_extended=once_extended)
        is_extended = isinstance(client, ExtendedClient)
        try:
            speech: Speech
            if isinstance(client, ExtendedClient):
                speech = ExtendedSpeech(client, dial)
            else:
                speech = ReferenceSpeech(client, dial)
            await speech.begin(credentials)
            if is_extended and not once_extended:
                await dial.memory.remember_extended()
        except BaseException as error:
            await client.finish("the enclave was not initialised")
            if isinstance(error, RemoteError):
                raise explain("the enclave refuses to be initialised", error) from error
            raise
        return cls(speech, dial.timeout)

    async def load(self, key: SealedKey) -> PublicKey | None:
        """Hand one sealed key over; its public key, or None when it is refused, and `refused` says why.

        One that is not opened in time is refused too. Raises UnavailableError or IntegrityError where the
        connection broke.
        """
        self.coming[key.id] = over = asyncio.Event()
        try:
            return self._taken(key, await self.speech.load(key, self._timeout))
        except RemoteError as error:
            self.refused[key.id] = explain(f"the enclave cannot load {key.id}", error)
        except NotSpokenError as error:
            self.refused[key.id] = UnavailableError(error.message, hint=error.hint)
        except MalformedError as error:
            self.refused[key.id] = IntegrityError(f"{key.id} cannot be handed over: {error.message}")
        except UnavailableError as error:
            if self.is_over or isinstance(error, NotSentError):
                raise
            # The connection outlives a late call: KMS was slow with this key, and the others need not wait.
            text = f"{key.id} was not opened in time: {error.message}"
            self.refused[key.id] = UnavailableError(text, hint=error.hint)
        finally:
            del self.coming[key.id]
            over.set()
        return None

    def _taken(self, key: SealedKey, reply: Imported) -> PublicKey | None:
        try:
            public = _same(key, reply)
        except IntegrityError as error:
            self.refused[key.id] = error
            return None
        self.adopt(key.id, reply.handle)
        return public

    def adopt(self, identifier: str, handle: int) -> None:
        """The enclave holds this key under that handle."""
        self.handles[identifier] = handle
        self.refused.pop(identifier, None)

    async def make(self, wish: Wish, pair: KeyPair | None, within: float) -> Made:
        """Have a key made, or `pair` taken. Raises RemoteError, MalformedError, and as `Speech`."""
        if pair is None:
            return await self.speech.generate(wish, within)
        if wish.scheme is Scheme.KMS_ENCRYPT:
            check_size(pair)
        return await self.speech.take(pair, wish, within)

    async def renew(self) -> bool:
        """Hand over the credentials of now, on this connection; False where that cannot be or are no others.

        Keys that were refused because the old ones were over may be tried again then. Raises what fetching
        and handing over raise.
        """
        try:
            if not await self.speech.renew():
                return False
        except RemoteError as error:
            raise explain("the enclave refuses new credentials", error) from error
        for identifier in [name for name, why in self.refused.items() if isinstance(why, ExpiredError)]:
            del self.refused[identifier]
        return True


def _same(key: SealedKey, reply: Imported) -> PublicKey:
    """The public key of the reply, when it is the stored one. Raises IntegrityError."""
    stored = key.public
    if stored is not None and (stored.type, stored.data) == (reply.key_type, reply.public):
        return stored  # checked when it was stored; a fleet of keys need not be checked at every connection
    public = public_key(reply.key_type, reply.public)
    if stored is not None or public.id != key.id:
        raise IntegrityError(
            f"substitution: the blob stored for {key.id} is the key {public.id}",
            hint="somebody exchanged blobs in the key store; restore it from a backup",
        )
    return public
