"""The extended protocol on one connection: proved first, then given credentials; births are checked.

Every secret that goes out is encrypted to the key of this connection, which the enclave's attestation
document vouched for. Source: docs/enclave-protocol.md.
"""

import asyncio
import os
from dataclasses import replace
from datetime import UTC, datetime

from signatory.crypto.keypair import KeyPair
from signatory.errors import IntegrityError
from signatory.nitro.sealed import Scheme
from signatory.rpc import extended as ext
from signatory.rpc.calls import terms_of
from signatory.rpc.hello import encode_credentials, encode_secret
from signatory.rpc.messages import Credentials, Imported
from vaults.nitro import birth_check
from vaults.nitro.birth_check import Asked
from vaults.nitro.channel import ExtendedClient
from vaults.nitro.dial import Dial
from vaults.nitro.storage.record import SealedKey
from vaults.nitro.trust import NONCE
from vaults.nitro.wishes import Made, Wish

LOADS = 64
"""Keys that are handed over at a time at most, whatever the enclave would take."""
OWN_CALLS = 8
"""Those of them that need a call to KMS each.

The enclave makes an RSA key for each call, one after the other, in up to 0.6 s: more would wait there, and be
late.
"""


class ExtendedSpeech:
    """Many calls at a time; credentials are renewed where they are."""

    is_extended = True

    def __init__(self, client: ExtendedClient, dial: Dial) -> None:
        self.client = client
        self.parallel = min(LOADS, max(1, client.welcome.in_flight * 3 // 4))
        self._own_calls = asyncio.Semaphore(OWN_CALLS)
        self._dial = dial
        self._given: Credentials | None = None
        self._renewing = asyncio.Lock()

    async def begin(self, credentials: Credentials) -> None:
        """Raises IntegrityError, field or register named, where the enclave is not the one that is meant."""
        nonce = os.urandom(NONCE)
        attested = await self.client.call(ext.Attest(nonce), ext.Attested, self._dial.timeout)
        now = datetime.now(UTC)
        await self._dial.trust(now).check(
            attested.document,
            transcript=self.client.transcript,
            session_key=self.client.welcome.session_key,
            nonce=nonce,
            now=now,
        )
        await self._give(credentials)

    async def renew(self) -> bool:
        async with self._renewing:
            credentials = await self._dial.credentials()
            if credentials == self._given:
                return False
            await self._give(credentials)
            return True

    async def load(self, key: SealedKey, within: float) -> Imported:
        call = ext.LoadSealed(key.name, key.scheme, key.blob)
        if key.scheme is Scheme.KMS_ENVELOPE:
            return await self.client.call(call, Imported, within)
        async with self._own_calls:
            return await self.client.call(call, Imported, within)

    async def generate(self, wish: Wish, within: float) -> Made:
        key, nonce = wish.key, os.urandom(NONCE)
        call = ext.GenerateAttested(key.key_type, key.purpose, wish.scheme, key.user_id, nonce)
        born = await self.client.call(call, ext.Born, within)
        return await self._checked(born, Asked(wish, nonce, self._dial.kms_key))

    async def take(self, pair: KeyPair, wish: Wish, within: float) -> Made:
        key, nonce = wish.key, os.urandom(NONCE)
        call = ext.ImportSealed(b"", key.purpose, wish.scheme, key.user_id, nonce)
        secret = encode_secret(pair.type, pair.secret)
        sealed = self.client.seal(ext.ImportSealed, secret, terms_of(call, self._dial.kms_key))
        call = replace(call, sealed=sealed)
        born = await self.client.call(call, ext.Born, within, key_type=pair.type)
        return await self._checked(born, Asked(wish, nonce, self._dial.kms_key, pair.public))

    async def _give(self, credentials: Credentials) -> None:
        sealed = self.client.seal(ext.RenewCredentials, encode_credentials(credentials))
        await self.client.call(ext.RenewCredentials(sealed), type(None), self._dial.timeout)
        self._given = credentials

    async def _checked(self, born: ext.Born, asked: Asked) -> Made:
        now = datetime.now(UTC)
        try:
            return await asyncio.to_thread(birth_check.check, born, asked, self._dial.trust(now), now)
        except IntegrityError as error:
            self.client.blame(error.message)
            raise
