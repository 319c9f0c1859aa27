"""One connection's worth of state: credentials, a sealing key, and a keychain; gone when the connection is.

A message is decoded before the state is looked at; Initialize comes first and once; a failure leaves the
state as it was. Source: reference RPC, "errors, EOF, session semantics".
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from enclave_signer import entropy, nsm
from enclave_signer.https import HttpsChannel
from enclave_signer.keychain import Keychain
from enclave_signer.kms import KmsSession, Route
from enclave_signer.recipients import Recipients
from enclave_signer.refusals import Refusal, chain_of
from enclave_signer.sealing import seal, unseal
from enclave_signer.settings import Settings
from signatory.crypto.curves import KeyType, SigningVersion, default_purpose
from signatory.crypto.keypair import KeyPair, from_secret, generate
from signatory.errors import DeniedError, MalformedError, SignatoryError
from signatory.nitro.kms import Arn, check_region
from signatory.nitro.sigv4 import AccessKey
from signatory.rpc import messages as rpc


@dataclass(frozen=True, slots=True)
class Enclave:
    """What all sessions share."""

    settings: Settings
    module: nsm.Nsm
    recipients: Recipients
    tls: ssl.SSLContext


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
        return await self._serve(request, self._kms)

    def _initialize(self, credentials: rpc.Credentials) -> None:
        if self._kms is not None:
            raise Refusal("already initialized")
        settings = self._enclave.settings
        try:
            key = sealing_key(settings.kms_keys, credentials.region, credentials.encryption_key_id)
        except SignatoryError as error:
            raise Refusal("initialization error", error.message) from error
        access = AccessKey(
            credentials.access_key_id, credentials.secret_access_key, credentials.session_token
        )
        allowed = [each for each in settings.kms_keys if each.region == key.region]
        self._kms = KmsSession(key, allowed, access, self._route(settings.host(key)))

    def _route(self, host: str) -> Route:
        enclave, limits = self._enclave, self._enclave.settings.limits
        channel = HttpsChannel(enclave.settings.proxy, enclave.tls, host)
        return Route(
            host, channel, enclave.module, enclave.recipients, limits.kms_timeout, limits.kms_attempts
        )

    async def _serve(self, request: rpc.Request, kms: KmsSession) -> rpc.Reply:
        match request:
            case rpc.Sign(handle, message, version):
                return _sign(self._keychain.find(handle), message, version)
            case rpc.SignWith(blob, message, version):
                return _sign(await unseal(kms, blob), message, version)
            case rpc.GetPublicKey(handle):
                return _public(self._keychain.find(handle))
            case rpc.GetPublicKeyFrom(blob):
                return _public(await unseal(kms, blob))
            case rpc.ProvePossession(handle):
                return _prove(self._keychain.find(handle))
            case _:
                return await self._take_key(request, kms)

    async def _take_key(self, request: rpc.Request, kms: KmsSession) -> rpc.Reply:
        match request:
            case rpc.Generate(key_type):
                pair = await self._generate(key_type)
                return rpc.Generated(pair.type, pair.public, await seal(kms, pair))
            case rpc.GenerateAndImport(key_type):
                self._keychain.check_room()
                return await self._keep_sealed(await self._generate(key_type), kms)
            case rpc.ImportUnencrypted(key_type, secret):
                self._keychain.check_room()
                return await self._keep_sealed(from_secret(key_type, secret), kms)
            case rpc.Import(blob):
                self._keychain.check_room()
                pair = await unseal(kms, blob)
                return rpc.Imported(pair.type, pair.public, self._keychain.add(pair))
        raise Refusal("unknown request")

    async def _generate(self, key_type: KeyType) -> KeyPair:
        return generate(key_type, default_purpose(key_type), await entropy.for_key(self._enclave.module))

    async def _keep_sealed(self, pair: KeyPair, kms: KmsSession) -> rpc.Generated:
        blob = await seal(kms, pair)
        return rpc.Generated(pair.type, pair.public, blob, self._keychain.add(pair))


def sealing_key(allowed: Sequence[Arn], region: str, name: str) -> Arn:
    """The allowed KMS key that a host names by full ARN or bare key id, in the region it names.

    Raises MalformedError or DeniedError; an alias is denied, since its owner can turn it to another key.
    """
    check_region(region)
    if "alias/" in name:
        raise DeniedError(
            "encryption_key_id is an alias; this enclave takes the ARN or the id of the KMS key"
        )
    found = [key for key in allowed if name in (str(key), key.key_id) and key.region == region]
    if len(found) != 1:
        raise DeniedError(f"this enclave's settings do not allow that KMS key in {region}")
    return found[0]


def _sign(pair: KeyPair, message: bytes, version: SigningVersion) -> rpc.Signed:
    try:
        return rpc.Signed(pair.type, pair.sign(message, version))
    except MalformedError as error:
        raise Refusal("signer error", error.message) from error


def _prove(pair: KeyPair) -> rpc.Proof:
    try:
        return rpc.Proof(pair.prove())
    except MalformedError as error:
        raise Refusal("signer error", error.message) from error


def _public(pair: KeyPair) -> rpc.Public:
    return rpc.Public(pair.type, pair.public)
