"""The `nitro` driver: keys that only an enclave can open, sealed on this machine's disk.

`open` fails where the enclave, its credentials or all of its keys cannot be had, and says why; whoever opens
vaults tries again. Once open, the vault heals itself and tells its state by `readiness`.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, SecretStr

from signatory.crypto.curves import KeyType, Purpose, SigningVersion, default_purpose
from signatory.crypto.keypair import NAMES, KeyPair
from signatory.errors import ConfigError, IntegrityError, MalformedError
from signatory.net.aws import default_credentials
from signatory.rpc.messages import (
    Credentials,
    GenerateAndImport,
    Generated,
    ImportUnencrypted,
    Proof,
    ProvePossession,
    Sign,
    Signed,
)
from signatory.vault import Call, Readiness, VaultContext, VaultKey
from vaults.nitro.config import NitroConfig
from vaults.nitro.link import EnclaveLink
from vaults.nitro.proxy import Proxy
from vaults.nitro.session import Dial, Session, public_key
from vaults.nitro.storage.file import REFERENCE_NAME, FileStore
from vaults.nitro.storage.record import SealedKey
from vaults.nitro.storage.store import Shelf
from vaults.paths import expand

KMS_PLAINTEXT = 4096
"""Bytes that KMS Encrypt takes at most."""
CBOR_AROUND = 12
"""Bytes that the sealed form of an expanded ML-DSA key has around the key itself."""


class NitroVault:
    """Signs, generates, imports and proves through one healing connection to the enclave."""

    Config: ClassVar[type[BaseModel]] = NitroConfig
    label = "NitroEnclave"

    def __init__(self, link: EnclaveLink, shelf: Shelf, proxy: Proxy | None, kms_key: str) -> None:
        self._link, self._shelf, self._proxy, self._kms_key = link, shelf, proxy, kms_key

    @classmethod
    async def open(cls, config: NitroConfig, context: VaultContext) -> Self:
        """Start the proxy where one is configured, reach the enclave, load the keys.

        Raises ConfigError, UnavailableError, DeniedError or IntegrityError; nothing is left running then.
        """
        shelf = Shelf(FileStore(_store_path(config, context.base_dir)))
        link = EnclaveLink(Dial(config.enclave, config.timeout, partial(credentials, config)), shelf.known)
        proxy = Proxy(config.proxy_local, config.proxy_remote) if config.proxy_remote else None
        vault = cls(link, shelf, proxy, config.encryption_key_id)
        try:
            if proxy is not None:
                await proxy.start()
            await link.open()
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
        if key.public_key.type is not KeyType.BLS:
            raise MalformedError("Proof of possession is not supported")
        return (await self._link.use(key, ProvePossession, Proof, call)).proof

    async def generate(self, key_type: KeyType, purpose: Purpose, call: Call) -> VaultKey:
        """Make a key in the enclave. Raises MalformedError for a purpose its family cannot have there."""
        _check_purpose(key_type, purpose)
        made, session = await self._link.request(GenerateAndImport(key_type), Generated, call)
        return await self._keep(made, session, purpose)

    async def import_key(self, pair: KeyPair, call: Call) -> VaultKey:
        """Raises MalformedError for a key that is there, that KMS cannot seal, or of another purpose."""
        _check_purpose(pair.type, pair.purpose)
        if len(pair.secret) + CBOR_AROUND > KMS_PLAINTEXT:
            raise MalformedError(
                f"an expanded {NAMES[pair.type]} key is longer than the {KMS_PLAINTEXT} bytes that KMS seals",
                hint="import the key with its 32-byte seed",
            )
        wanted = VaultKey(public_key(pair.type, pair.public), pair.purpose)
        if any(known.id == wanted.id for known in await self._shelf.known()):
            raise MalformedError(f"{wanted.id} is already in this vault")
        request = ImportUnencrypted(pair.type, pair.secret)
        taken, session = await self._link.request(request, Generated, call)
        if taken.public != pair.public:
            raise IntegrityError(f"the enclave was given {wanted.id} and answers for another key")
        return await self._keep(taken, session, pair.purpose)

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

    async def _keep(self, made: Generated, session: Session, purpose: Purpose) -> VaultKey:
        """Store durably, then announce: never the other way round."""
        key = VaultKey(public_key(made.key_type, made.public), purpose)
        sealed = SealedKey(key.id, made.key_type, purpose, made.blob, key.public_key, self._kms_key)
        await self._shelf.add(sealed)
        if made.handle is not None:
            self._link.adopt(session, sealed, key, made.handle)
        return key


async def credentials(config: NitroConfig) -> Credentials:
    """What Initialize hands over, fresh at every call. Raises ConfigError where keys or region miss."""
    written = config.credentials
    region = config.region
    if written.access_key_id is not None:
        keys = written.access_key_id, _secret(written.secret_access_key) or "", _secret(written.session_token)
    else:
        found = await default_credentials()
        keys = found.access_key_id, found.secret_access_key, found.session_token
        region = region or found.region
    if region is None:
        raise ConfigError(
            "the AWS region of the KMS key is not known",
            hint="write the key as an ARN, or set credentials.region or AWS_REGION",
        )
    return Credentials(*keys, encryption_key_id=config.encryption_key_id, region=region)


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()


def _sign(message: bytes, version: SigningVersion, handle: int) -> Sign:
    return Sign(handle, message, version)


def _store_path(config: NitroConfig, base_dir: Path) -> Path:
    return expand(config.storage.config, base_dir) if config.storage.config else base_dir / REFERENCE_NAME


def _check_purpose(key_type: KeyType, purpose: Purpose) -> None:
    """The enclave's protocol has no word for a purpose: each family has one."""
    if purpose is not default_purpose(key_type):
        raise MalformedError(
            f"in an enclave {NAMES[key_type]} keys have the purpose {default_purpose(key_type).value}"
        )
