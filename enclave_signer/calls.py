"""What one connection of the extended protocol may ask, and what it holds: credentials and keys.

Calls that need nothing from outside are answered at once; the others wait for KMS or the NSM. Secrets come
encrypted to the key of the connection, and none leaves. Source: docs/enclave-protocol.md.
"""

import time

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from enclave_signer import births, documents, entropy, signing
from enclave_signer.enclave import Enclave, access_key
from enclave_signer.keychain import Keychain
from enclave_signer.kms import KmsSession
from enclave_signer.refusals import Refusal
from enclave_signer.sealing import SealedKeyError, Sealer
from signatory.crypto import hpke
from signatory.crypto.curves import Purpose
from signatory.crypto.keypair import KeyPair, from_secret, generate
from signatory.errors import DeniedError, MalformedError
from signatory.nitro.birth import Origin
from signatory.nitro.checkpoint import Checkpoint
from signatory.rpc import extended as ext
from signatory.rpc.calls import terms_of
from signatory.rpc.hello import decode_credentials, decode_secret, hpke_info
from signatory.rpc.values import Credentials, GetPublicKey, Imported, ProvePossession, Sign, Signed

Slow = ext.Attest | ext.GenerateAttested | ext.ImportSealed | ext.LoadSealed
"""Calls that wait for KMS or the NSM."""

AboutKey = Sign | GetPublicKey | ProvePossession | ext.ProvePossessionOf | ext.SignCheckpoint
Quick = ext.RenewCredentials | ext.Status | AboutKey
"""Calls that wait for nothing."""


class Calls:
    """The state of one connection, from Hello to its end."""

    def __init__(self, enclave: Enclave, session_key: X25519PrivateKey, transcript: bytes) -> None:
        self._enclave = enclave
        self._session_key = session_key
        self._transcript = transcript
        self._keychain = Keychain(enclave.settings.limits.keys)
        self._kms: KmsSession | None = None

    @property
    def frame_limit(self) -> int:
        """Longest call, in bytes, that is taken now."""
        limits = self._enclave.settings.limits
        return limits.frame_before if self._kms is None else limits.frame_after

    @property
    def has_credentials(self) -> bool:
        """Whether a host has shown that it knows what it wants here."""
        return self._kms is not None

    def answer_now(self, call: Quick) -> ext.Answer:
        """To a call that waits for nothing. Raises SignatoryError, which leaves everything as it was."""
        match call:
            case ext.RenewCredentials(sealed):
                self._renew(sealed)
                return None
            case ext.Status():
                return self._status()
            case _:
                self._require_kms()
                return self._ask_key(self._keychain.find(call.handle), call)

    async def answer(self, call: Slow) -> ext.Answer:
        """To a call that waits. Raises SignatoryError, which leaves everything as it was."""
        if isinstance(call, ext.Attest):
            return await self._attest(call.nonce)
        sealer = self._enclave.sealer(self._require_kms())
        self._keychain.check_room()
        match call:
            case ext.LoadSealed(name, scheme, blob):
                pair = await sealer.unseal(name, scheme, blob)
                return Imported(pair.type, pair.public, self._keychain.add(pair))
            case ext.GenerateAttested():
                source = await entropy.for_key(self._enclave.module)
                pair = generate(call.key_type, call.purpose, source)
                return await self._bear(pair, Origin.GENERATED, call, sealer)
            case ext.ImportSealed():
                return await self._bear(self._unwrap(call), Origin.IMPORTED, call, sealer)

    def close(self) -> None:
        """Forget everything."""
        self._keychain.clear()
        if self._kms is not None:
            self._kms.close()
            self._kms = None

    def _require_kms(self) -> KmsSession:
        if self._kms is None:
            raise Refusal("uninitialized")
        return self._kms

    async def _attest(self, nonce: bytes) -> ext.Attested:
        public = self._session_key.public_key().public_bytes_raw()
        return ext.Attested(
            await documents.make(
                self._enclave.module, public_key=public, user_data=self._transcript, nonce=nonce
            )
        )

    def _renew(self, sealed: bytes) -> None:
        credentials = self._open_credentials(sealed)
        key = self._enclave.kms_key(credentials)
        if self._kms is None:
            self._kms = self._enclave.kms_session(key, access_key(credentials))
        elif key != self._kms.key:
            reason = "new credentials may not change the KMS key or the region of a session"
            raise Refusal("initialization error", reason)
        else:
            self._kms.renew(access_key(credentials))

    def _open_credentials(self, sealed: bytes) -> Credentials:
        plaintext = self._open(sealed, hpke_info(ext.RenewCredentials, self._transcript))
        try:
            return decode_credentials(plaintext)
        except MalformedError as error:
            raise Refusal("initialization error", error.message) from None

    def _unwrap(self, call: ext.ImportSealed) -> KeyPair:
        if call.purpose is Purpose.CHECKPOINT:
            raise DeniedError("a checkpoint key is made in the enclave and never imported")
        terms = terms_of(call, self._require_kms().key.key_id)
        info = hpke_info(ext.ImportSealed, self._transcript, terms)
        plaintext = self._open(call.sealed, info)
        try:
            key_type, secret = decode_secret(plaintext)
        except MalformedError as error:
            raise SealedKeyError(error.message) from None
        return from_secret(key_type, secret, purpose=call.purpose)

    def _open(self, sealed: bytes, info: bytes) -> bytes:
        return hpke.open_sealed(self._session_key, sealed, info)

    async def _bear(
        self, pair: KeyPair, origin: Origin, call: ext.GenerateAttested | ext.ImportSealed, sealer: Sealer
    ) -> ext.Born:
        """Seal the key and certify its birth; only then it gets a handle."""
        settings, kms = self._enclave.settings, self._require_kms()
        sealed = await sealer.seal(pair, call.scheme, call.user_id)
        statement, attestation = await births.certify(
            self._enclave.module, sealed, pair, origin, call.nonce, settings.release, kms.now_ms()
        )
        handle = self._keychain.add(pair)
        return ext.Born(sealed.name, str(sealed.kms_key), sealed.blob, handle, statement, attestation)

    def _ask_key(self, pair: KeyPair, call: AboutKey) -> ext.Answer:
        match call:
            case Sign(_, message, version):
                return signing.sign(pair, message, version)
            case GetPublicKey():
                return signing.public(pair)
            case ProvePossession():
                return signing.prove(pair)
            case ext.ProvePossessionOf(_, public):
                return signing.prove(pair, public)
            case ext.SignCheckpoint(_, checkpoint):
                return self._sign_checkpoint(pair, checkpoint)

    def _sign_checkpoint(self, pair: KeyPair, checkpoint: Checkpoint) -> Signed:
        # The key itself says whether it is for checkpoints; the signature leaves only if it is no step back.
        signature = pair.sign_checkpoint(checkpoint.statement())
        self._enclave.checkpoints.advance(pair.public, checkpoint)
        return Signed(pair.type, signature)

    def _status(self) -> ext.EnclaveStatus:
        enclave = self._enclave
        return ext.EnclaveStatus(
            release=enclave.settings.release,
            uptime=int(time.monotonic() - enclave.started),
            sessions=enclave.sessions,
            keys=len(self._keychain),
            kms_calls=enclave.tries.count,
        )
