"""A session of the reference protocol: credentials, a sealing key, and a keychain; gone with its connection.

A message is decoded before the state is looked at; Initialize comes first and once; a failure leaves the
state as it was. Source: reference RPC, "errors, EOF, session semantics".
"""

from enclave_signer import entropy, signing
from enclave_signer.enclave import Enclave, access_key
from enclave_signer.keychain import Keychain
from enclave_signer.kms import KmsSession
from enclave_signer.refusals import Refusal, chain_of
from enclave_signer.sealing import Sealer
from signatory.crypto.curves import KeyType, default_purpose
from signatory.crypto.keypair import KeyPair, from_secret, generate
from signatory.errors import SignatoryError
from signatory.rpc import messages as rpc


class Session:
    """Answers the requests of one connection, one after the other."""

    def __init__(self, enclave: Enclave) -> None:
        self._enclave = enclave
        self._keychain = Keychain(enclave.settings.limits.keys)
        self._kms: KmsSession | None = None

    @property
    def frame_limit(self) -> int:
        """Longest request, in bytes, that is taken now."""
        limits = self._enclave.settings.limits
        return limits.frame_before if self._kms is None else limits.frame_after

    @property
    def is_initialized(self) -> bool:
        """Whether a host has shown that it knows what it wants here."""
        return self._kms is not None

    async def answer(self, body: bytes) -> bytes:
        """The reply to the request in a frame; every failure is a reply too."""
        try:
            return rpc.encode_reply(await self._perform(rpc.decode_request(body)))
        except SignatoryError as error:
            return rpc.encode_error(chain_of(error))

    def close(self) -> None:
        """Forget everything."""
        self._keychain.clear()
        if self._kms is not None:
            self._kms.close()
            self._kms = None

    async def _perform(self, request: rpc.Request) -> rpc.Reply:
        if isinstance(request, rpc.Initialize):
            self._initialize(request.credentials)
            return None
        if self._kms is None:
            raise Refusal("uninitialized")
        return await self._serve(request, self._enclave.sealer(self._kms))

    def _initialize(self, credentials: rpc.Credentials) -> None:
        if self._kms is not None:
            raise Refusal("already initialized")
        key = self._enclave.kms_key(credentials)
        self._kms = self._enclave.kms_session(key, access_key(credentials))

    async def _serve(self, request: rpc.Request, sealer: Sealer) -> rpc.Reply:
        match request:
            case rpc.Sign(handle, message, version):
                return signing.sign(self._keychain.find(handle), message, version)
            case rpc.SignWith(blob, message, version):
                return signing.sign(await sealer.unseal_reference(blob), message, version)
            case rpc.GetPublicKey(handle):
                return signing.public(self._keychain.find(handle))
            case rpc.GetPublicKeyFrom(blob):
                return signing.public(await sealer.unseal_reference(blob))
            case rpc.ProvePossession(handle):
                return signing.prove(self._keychain.find(handle))
            case _:
                return await self._take_key(request, sealer)

    async def _take_key(self, request: rpc.Request, sealer: Sealer) -> rpc.Reply:
        match request:
            case rpc.Generate(key_type):
                pair = await self._generate(key_type)
                return rpc.Generated(pair.type, pair.public, await sealer.seal_reference(pair))
            case rpc.GenerateAndImport(key_type):
                self._keychain.check_room()
                return await self._keep_sealed(await self._generate(key_type), sealer)
            case rpc.ImportUnencrypted(key_type, secret):
                self._keychain.check_room()
                return await self._keep_sealed(from_secret(key_type, secret), sealer)
            case rpc.Import(blob):
                self._keychain.check_room()
                pair = await sealer.unseal_reference(blob)
                return rpc.Imported(pair.type, pair.public, self._keychain.add(pair))
        raise Refusal("unknown request")

    async def _generate(self, key_type: KeyType) -> KeyPair:
        return generate(key_type, default_purpose(key_type), await entropy.for_key(self._enclave.module))

    async def _keep_sealed(self, pair: KeyPair, sealer: Sealer) -> rpc.Generated:
        blob = await sealer.seal_reference(pair)
        return rpc.Generated(pair.type, pair.public, blob, self._keychain.add(pair))
