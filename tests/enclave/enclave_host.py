"""A host of the extended protocol by hand: plain CBOR, its own transcript and its own HPKE.

Nothing of signatory is used here but the names of AWS things in the fixtures, so that what the enclave says
is checked by another implementation. Sources: docs/enclave-protocol.md, RFC 9180.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from emulators import ACCESS, KEY_ARN, KEY_ID, REGION
from enclave_cloud import Cloud, Enclave, Line

CREDENTIALS = {
    "access_key_id": ACCESS.access_key_id,
    "secret_access_key": ACCESS.secret_access_key,
    "session_token": ACCESS.session_token,
    "encryption_key_id": KEY_ARN,
    "region": REGION,
}
SEED = b"\x11" * 32
USUAL: dict[str, Any] = {"purpose": "tezos", "scheme": "kms-gdk-v1", "user_id": None, "nonce": None}
"""What a key is made for and how it is sealed, where a test says nothing else."""
_KEM = b"KEM" + (0x0020).to_bytes(2, "big")
_SUITE = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x0020, 0x0001, 0x0002))


class RefusedError(Exception):
    """The enclave's `Err`, outermost first."""

    def __init__(self, chain: tuple[str, ...]) -> None:
        super().__init__(": ".join(chain))
        self.chain = chain


@dataclass
class Host:
    """One connection after Hello."""

    line: Line
    hello: bytes
    answered: bytes
    """The body of the enclave's reply to Hello."""
    last: int = 0
    _asked: dict[int, bytes] = field(default_factory=dict)
    _early: dict[int, Any] = field(default_factory=dict)

    @classmethod
    async def greet(cls, enclave: Enclave, *, altered: bool = False) -> Self:
        """Say Hello. `altered` is what a relay does that changes one bit of it on the way."""
        line, nonce = await enclave.line(), os.urandom(32)
        sent = hello(bytes([nonce[0] ^ 1]) + nonce[1:]) if altered else hello(nonce)
        return cls(line, hello(nonce), await line.ask_raw(sent))

    @classmethod
    async def ready(cls, enclave: Enclave) -> Self:
        """Say Hello and bring credentials."""
        host = await cls.greet(enclave)
        assert await host.renew() is None
        return host

    @property
    def welcome(self) -> dict[str, Any]:
        found: dict[str, Any] = cbor2.loads(self.answered)["Ok"]
        return found

    @property
    def transcript(self) -> bytes:
        framed = b"".join(len(body).to_bytes(8, "big") + body for body in (self.hello, self.answered))
        return hashlib.sha256(b"signatory-vault/hello/v1\0" + framed).digest()

    def envelope(self, name: str, within: int | None = None, /, **fields: Any) -> bytes:
        """The next call as the body of a frame."""
        self.last += 1
        body = cbor2.dumps({"id": self.last, "within": within, "call": {name: fields}})
        self._asked[self.last] = hashlib.sha256(body).digest()
        return body

    def send(self, body: bytes) -> int:
        """Send a frame; the id of the last call made."""
        self.line.writer.write(len(body).to_bytes(4, "big") + body)
        return self.last

    def call(self, name: str, within: int | None = None, /, **fields: Any) -> int:
        """Send the next call; its id."""
        return self.send(self.envelope(name, within, **fields))

    async def ask(self, name: str, within: int | None = None, /, **fields: Any) -> Any:
        """Send the next call and take its reply. Raises RefusedError."""
        return await self.reply(self.call(name, within, **fields))

    async def reply(self, identifier: int) -> Any:
        """The reply with this id; those that come before it are kept."""
        while identifier not in self._early:
            found, reply = await self.next()
            self._early[found] = reply
        return _opened(self._early.pop(identifier))

    async def next(self) -> tuple[int, Any]:
        """The next reply that comes in: its id, and what it says."""
        found = cbor2.loads(await self.line.read())
        assert set(found) == {"id", "digest", "reply"}
        assert found["digest"] == self._asked.pop(found["id"])
        return found["id"], found["reply"]

    def seal(
        self, use: str, plaintext: bytes, transcript: bytes | None = None, terms: Mapping[str, Any] = USUAL
    ) -> bytes:
        """To the key of this connection, for one kind of call; an imported key on the terms of the call."""
        info = b"signatory-vault/hpke/v1\0" + use.encode() + b"\0" + (transcript or self.transcript)
        if use == "ImportSealed":
            said = {name: terms[name] for name in ("purpose", "scheme", "user_id", "nonce")}
            said["kms_key"] = terms.get("kms_key", KEY_ID)
            info += hashlib.sha256(cbor2.dumps(said)).digest()
        return hpke_seal(self.welcome["session_key"], plaintext, info)

    async def renew(self, **changed: Any) -> Any:
        return await self.ask(
            "RenewCredentials", sealed=self.seal("RenewCredentials", cbor2.dumps(CREDENTIALS | changed))
        )

    async def make(self, key_type: str = "Ed25519", **changed: Any) -> Any:
        """GenerateAttested, of a key for Tezos under kms-gdk-v1 where nothing else is said."""
        return await self.ask("GenerateAttested", **{"key_type": key_type, **USUAL, **changed})

    async def bring(self, key_type: str, secret: bytes, **changed: Any) -> Any:
        """ImportSealed, as `make`."""
        sealed = self.seal("ImportSealed", cbor2.dumps({key_type: secret}), terms=USUAL | changed)
        return await self.ask("ImportSealed", **{"sealed": sealed, **USUAL, **changed})

    async def load(self, born: Any, scheme: str = "kms-gdk-v1", **changed: Any) -> Any:
        """LoadSealed of what `make` or `bring` gave, with the name changed."""
        return await self.ask("LoadSealed", name=born["name"] | changed, scheme=scheme, blob=born["blob"])

    async def sign(self, handle: int, message: bytes) -> Any:
        return await self.ask("Sign", handle=handle, message=message, version=255)


async def refused(asked: Any) -> tuple[str, ...]:
    """The chain of errors that a question ends with."""
    try:
        reply = await asked
    except RefusedError as error:
        return error.chain
    raise AssertionError(f"the enclave answered {reply}")


def err(body: bytes) -> str:
    """The text of a refusal in the reference's form."""
    message: str = cbor2.loads(body)["Err"]["message"]
    return message


def verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Raises where it does not: an Ed25519 signature by the rules of Tezos."""
    digest = hashlib.blake2b(message, digest_size=32).digest()
    Ed25519PublicKey.from_public_bytes(public).verify(signature, digest)
    return True


def root(cloud: Cloud) -> bytes:
    """The fingerprint of the software NSM's root."""
    return hashlib.sha256((cloud.folder / "nsm" / "root.der").read_bytes()).digest()


def hello(nonce: bytes) -> bytes:
    return cbor2.dumps({"Hello": {"version": 1, "nonce": nonce}})


def _opened(reply: Any) -> Any:
    if "Ok" in reply:
        return reply["Ok"]
    chain, link = [], reply["Err"]
    while link is not None:
        chain.append(link["message"])
        link = link["source"]
    raise RefusedError(tuple(chain))


def hpke_seal(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, first message."""
    ephemeral = X25519PrivateKey.generate()
    enc = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    prk = _extract(_KEM, b"", b"eae_prk", shared)
    secret = _expand(_KEM, prk, b"shared_secret", enc + public, 32)
    context = b"\0" + _extract(_SUITE, b"", b"psk_id_hash", b"") + _extract(_SUITE, b"", b"info_hash", info)
    prk = _extract(_SUITE, secret, b"secret", b"")
    key, nonce = _expand(_SUITE, prk, b"key", context, 32), _expand(_SUITE, prk, b"base_nonce", context, 12)
    return enc + AESGCM(key).encrypt(nonce, plaintext, b"")


def _extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def _expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labelled + b"\1", "sha256")[:length]
