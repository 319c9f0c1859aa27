"""The reference protocol on one connection: nothing is attested, and secrets go out as they are."""

from signatory.crypto.keypair import KeyPair
from signatory.errors import IntegrityError
from signatory.nitro.sealed import Scheme
from signatory.rpc.messages import (
    Credentials,
    GenerateAndImport,
    Generated,
    Import,
    Imported,
    ImportUnencrypted,
    Initialize,
)
from signatory.tezos.keys import PublicKey
from vaults.nitro.birth_check import public_key
from vaults.nitro.client import EnclaveClient
from vaults.nitro.dial import Dial
from vaults.nitro.storage.record import SealedKey
from vaults.nitro.wishes import Made, NotSpokenError, Wish


class ReferenceSpeech:
    """One request at a time; credentials are renewed by another connection."""

    is_extended = False
    parallel = 1

    def __init__(self, client: EnclaveClient, dial: Dial) -> None:
        self.client = client
        self._dial = dial

    async def begin(self, credentials: Credentials) -> None:
        await self.client.call(Initialize(credentials), type(None), self._dial.timeout)

    async def renew(self) -> bool:
        return False

    async def load(self, key: SealedKey, within: float) -> Imported:
        if key.scheme is not Scheme.KMS_ENCRYPT:
            raise NotSpokenError(f"opening {key.id}, which is sealed by {key.scheme.value},")
        return await self.client.call(Import(key.blob), Imported, within)

    async def generate(self, wish: Wish, within: float) -> Made:
        made = await self.client.call(GenerateAndImport(wish.key.key_type), Generated, within)
        return self._made(made, wish)

    async def take(self, pair: KeyPair, wish: Wish, within: float) -> Made:
        made = await self.client.call(ImportUnencrypted(pair.type, pair.secret), Generated, within)
        if made.public != pair.public:
            name = PublicKey(pair.type, pair.public).id
            raise IntegrityError(f"the enclave was given {name} and answers for another key")
        return self._made(made, wish)

    def _made(self, made: Generated, wish: Wish) -> Made:
        public = public_key(made.key_type, made.public)
        if made.handle is None:
            raise IntegrityError("the enclave made a key and does not hold it")
        sealed = SealedKey(
            public.id,
            made.key_type,
            wish.key.purpose,
            made.blob,
            public,
            self._dial.kms_key,
            Scheme.KMS_ENCRYPT,
        )
        return Made(sealed, public, made.handle)
