"""The `nitro` driver: keys that only an enclave can open, kept sealed in a store.

`open` fails where the enclave, its proof, its credentials or all of its keys cannot be had, and says why;
whoever opens vaults tries again. Once open, the vault heals itself and tells its state by `readiness`.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Self

from pydantic import BaseModel

from signatory.crypto import eddsa, keypair
from signatory.crypto.curves import KeyType, Purpose, SigningVersion
from signatory.crypto.keypair import KeyPair
from signatory.errors import IntegrityError, MalformedError
from signatory.nitro.checkpoint import Checkpoint
from signatory.nitro.sealed import Scheme, check_user_id
from signatory.rpc.extended import ProvePossessionOf, SignCheckpoint
from signatory.rpc.messages import Proof, ProvePossession, Sign, Signed
from signatory.tezos.keys import PublicKey
from signatory.vault import Call, KeyBirth, Readiness, VaultContext, VaultKey
from vaults.nitro.birth_check import public_key
from vaults.nitro.config import NitroConfig
from vaults.nitro.credentials import credentials
from vaults.nitro.dial import Dial
from vaults.nitro.link import EnclaveLink
from vaults.nitro.negotiation import Protocol
from vaults.nitro.pins import Pins
from vaults.nitro.proxy import Proxy
from vaults.nitro.session import Session
from vaults.nitro.storage.store import Shelf
from vaults.nitro.storage.table import open_store
from vaults.nitro.wishes import Made, Wanted, choose

logger = logging.getLogger(__name__)

_UNPINNED = (
    "Vault %s: nothing says which image the enclave must run, so any genuine enclave is trusted with the "
    "credentials and with imported keys; set expected_pcrs or manifest"
)


class NitroVault:
    """Signs, generates, imports, proves and certifies through one healing connection to the enclave."""

    Config: ClassVar[type[BaseModel]] = NitroConfig
    label = "NitroEnclave"

    def __init__(self, link: EnclaveLink, shelf: Shelf, proxy: Proxy | None, sealing: Scheme | None) -> None:
        self._link, self._shelf, self._proxy, self._sealing = link, shelf, proxy, sealing
        self._checkpoint_key = asyncio.Lock()

    @classmethod
    async def open(cls, config: NitroConfig, context: VaultContext) -> Self:
        """Start the proxy where one is configured, reach the enclave, load the keys.

        Raises ConfigError, UnavailableError, DeniedError or IntegrityError; nothing is left running then.
        """
        pins = await Pins.read(config, context.base_dir)
        if not pins.pin_an_image and config.protocol is not Protocol.REFERENCE:
            logger.warning(_UNPINNED, context.name)
        shelf = Shelf(
            await open_store(
                config.storage,
                context.base_dir,
                context.name,
                credentials=config.credentials.written,
                region=config.region,
            )
        )
        dial = Dial(
            config.enclave,
            config.timeout,
            partial(credentials, config),
            config.encryption_key_id,
            config.protocol,
            pins.trust,
            shelf,
        )
        proxy = Proxy(config.proxy_local, config.proxy_remote) if config.proxy_remote else None
        vault = cls(EnclaveLink(dial, shelf.known), shelf, proxy, config.sealing)
        try:
            if proxy is not None:
                await proxy.start()
            await vault._link.open()
        except BaseException:
            await vault.close()
            raise
        return vault

    async def list(self) -> Sequence[VaultKey]:
        """The stored keys that the enclave has shown; what others stored since is loaded first."""
        await self._link.refresh()
        return self._link.shown()

    async def sign(self, key: VaultKey, message: bytes, version: SigningVersion, call: Call) -> bytes:
        reply = await self._link.use(key, partial(_sign, message, version), Signed, call)
        return reply.signature

    async def prove_possession(self, key: VaultKey, call: Call) -> bytes:
        _check_bls(key)
        return (await self._link.use(key, ProvePossession, Proof, call)).proof

    async def prove_possession_of(self, key: VaultKey, public_key: bytes, call: Call) -> bytes:
        """Also MalformedError where the reference protocol is spoken: it has no such request."""
        _check_bls(key)
        keypair.check_public(KeyType.BLS, public_key)

        def make(handle: int) -> ProvePossessionOf:
            return ProvePossessionOf(handle, public_key)

        what = "a proof of possession over another public key"
        return (await self._link.use(key, make, Proof, call, extended=what)).proof

    async def generate(self, key_type: KeyType, purpose: Purpose, call: Call) -> VaultKey:
        """Make a key in the enclave. Raises MalformedError for a purpose that cannot be had or sealed."""
        return await self._make(_signing(Wanted(key_type, purpose)), None, call)

    async def generate_for(self, user_id: str, key_type: KeyType, purpose: Purpose, call: Call) -> VaultKey:
        """The same for a tenant. Also MalformedError where the reference protocol is spoken."""
        return await self._make(_signing(Wanted(key_type, purpose, check_user_id(user_id))), None, call)

    async def import_key(self, pair: KeyPair, call: Call) -> VaultKey:
        """Raises MalformedError for a key that is there, or that cannot be sealed."""
        name = public_key(pair.type, pair.public).id
        if any(known.id == name for known in await self._shelf.known()):
            raise MalformedError(f"{name} is already in this vault")
        return await self._make(_signing(Wanted(pair.type, pair.purpose)), pair, call)

    def birth(self, key_id: str) -> KeyBirth | None:
        found = self._link.find(key_id)
        return found.birth if found is not None else None

    async def checkpoint_key(self, call: Call) -> VaultKey:
        """The first in the order of the store, should two processes have made one at once."""
        async with self._checkpoint_key:
            for _ in range(2):
                if found := self._stored_checkpoint_key():
                    return found
                await self._link.refresh()
            return await self._make(Wanted(KeyType.ED25519, Purpose.CHECKPOINT), None, call)

    async def checkpoint(self, sequence: int, digest: bytes, call: Call) -> tuple[PublicKey, bytes]:
        """Also IntegrityError for a signature that does not verify, and MalformedError as `generate_for`."""
        wanted = Checkpoint(sequence, digest)
        key = await self.checkpoint_key(call)

        def make(handle: int) -> SignCheckpoint:
            return SignCheckpoint(handle, wanted)

        signed = await self._link.use(key, make, Signed, call, extended="a checkpoint")
        if not eddsa.Verifier(key.public_key.data).verify(wanted.statement(), signed.signature):
            self._link.drop("the enclave's signature over a checkpoint does not verify")
            raise IntegrityError("the enclave answered with a checkpoint signature that does not verify")
        return key.public_key, signed.signature

    async def reset(self, reason: str) -> None:
        """Drop the connection; its replies may be shifted by one that was sent twice."""
        self._link.drop(reason)

    def withheld(self, key_id: str) -> str | None:
        return self._link.withheld(key_id)

    def readiness(self) -> Readiness:
        found = self._link.readiness()
        return Readiness(found.ready, "; ".join(filter(None, (found.reason, *self._shelf.problems))))

    async def close(self) -> None:
        await self._link.close()
        if self._proxy is not None:
            await self._proxy.close()
        await self._shelf.close()

    async def _make(self, wanted: Wanted, pair: KeyPair | None, call: Call) -> VaultKey:
        """Store durably, then announce: never the other way round."""
        stored = await self._shelf.known()

        async def make(session: Session, within: float) -> Made:
            wish = choose(wanted, self._sealing, stored, extended=session.speech.is_extended)
            return await session.make(wish, pair, within)

        made, session = await self._link.perform(make, call)
        await self._shelf.add(made.sealed)
        return self._link.adopt(session, made)

    def _stored_checkpoint_key(self) -> VaultKey | None:
        for key in self._link.stored():
            if key.purpose is Purpose.CHECKPOINT and key.public is not None:
                return VaultKey(key.public, key.purpose)
        return None


def _sign(message: bytes, version: SigningVersion, handle: int) -> Sign:
    return Sign(handle, message, version)


def _signing(wanted: Wanted) -> Wanted:
    if wanted.purpose is Purpose.CHECKPOINT:
        raise MalformedError("a checkpoint key is made by its first use, and signs nothing for anybody")
    return wanted


def _check_bls(key: VaultKey) -> None:
    if key.public_key.type is not KeyType.BLS:
        raise MalformedError("Proof of possession is not supported")
