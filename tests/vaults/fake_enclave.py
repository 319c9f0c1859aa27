"""A reference enclave that a test can bend: raw frames on a unix socket, CBOR written by hand.

Nothing here comes from the product: the shapes are those of the reference sheet (framing, requests, replies),
the keys those of `cryptography` and py-arkworks. "Sealing" is a prefix, so that a test can exchange blobs.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import py_arkworks_bls12381 as ark
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SEAL = b"sealed:"
CURVES: dict[str, ec.EllipticCurve] = {"Secp256k1": ec.SECP256K1(), "NistP256": ec.SECP256R1()}
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
AUG = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_AUG_"
POP = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
POP_PROOF = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
MLDSA: dict[str, Any] = {
    "MlDsa44": mldsa.MLDSA44PrivateKey,
    "MlDsa65": mldsa.MLDSA65PrivateKey,
    "MlDsa87": mldsa.MLDSA87PrivateKey,
}


def head(major: int, value: int) -> bytes:
    for size, code in ((0, None), (1, 24), (2, 25), (4, 26), (8, 27)):
        if code is None and value < 24:
            return bytes([major << 5 | value])
        if code is not None and value < 256**size:
            return bytes([major << 5 | code]) + value.to_bytes(size, "big")
    raise AssertionError(value)


def text(value: str) -> bytes:
    return head(3, len(value.encode())) + value.encode()


def data(value: bytes) -> bytes:
    return head(2, len(value)) + value


def ints(value: bytes) -> bytes:
    return head(4, len(value)) + b"".join(head(0, each) for each in value)


def struct(**fields: bytes) -> bytes:
    return head(5, len(fields)) + b"".join(text(name) + value for name, value in fields.items())


NULL = b"\xf6"
OK_NULL = bytes.fromhex("a1624f6bf6")


def ok(value: bytes) -> bytes:
    return struct(Ok=value)


def error(*chain: str) -> bytes:
    found = NULL
    for message in reversed(chain):
        found = struct(message=text(message), source=found)
    return struct(Err=found)


UNKNOWN_HELLO = error(
    'Semantic(None, "unknown variant `Hello`, expected one of `Initialize`, `Import`, ...")'
)


def load(raw: bytes) -> Any:
    value, at = _load(raw, 0)
    assert at == len(raw), "bytes after the item"
    return value


def _load(raw: bytes, at: int) -> tuple[Any, int]:
    major, low = raw[at] >> 5, raw[at] & 31
    at += 1
    if major == 7:
        assert low == 22, low
        return None, at
    if low >= 24:
        size = 1 << (low - 24)
        low, at = int.from_bytes(raw[at : at + size], "big"), at + size
    if major == 0:
        return low, at
    if major in {2, 3}:
        piece = raw[at : at + low]
        assert len(piece) == low
        return (piece if major == 2 else piece.decode()), at + low
    items = []
    for _ in range(low if major == 4 else 2 * low):
        item, at = _load(raw, at)
        items.append(item)
    if major == 4:
        return items, at
    assert major == 5, major
    return dict(zip(items[::2], items[1::2], strict=True)), at


@dataclass(frozen=True)
class FakeKey:
    """One key as the enclave holds it."""

    name: str
    secret: bytes

    @property
    def public(self) -> bytes:
        if self.name in CURVES:
            point = ec.derive_private_key(int.from_bytes(self.secret, "big"), CURVES[self.name]).public_key()
            return point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        if self.name == "Bls":
            return bytes((ark.G1Point() * ark.Scalar.from_be_bytes(self.secret)).to_compressed_bytes())
        return bytes(self._other().public_key().public_bytes_raw())

    def _other(self) -> Any:
        if self.name == "Ed25519":
            return ed25519.Ed25519PrivateKey.from_private_bytes(self.secret)
        return MLDSA[self.name].from_seed_bytes(self.secret)

    def sign(self, message: bytes, version: int) -> bytes:
        digest = hashlib.blake2b(message, digest_size=32).digest()
        if self.name in CURVES:
            return self._ecdsa(digest)
        if self.name == "Bls":
            augmented = version == 1
            return self._bls(self.public + message if augmented else message, AUG if augmented else POP)
        raw = self.name in {"MlDsa65", "MlDsa87"}
        return bytes(self._other().sign(message if raw else digest))

    def _ecdsa(self, digest: bytes) -> bytes:
        key = ec.derive_private_key(int.from_bytes(self.secret, "big"), CURVES[self.name])
        algorithm = ec.ECDSA(Prehashed(SHA256()), deterministic_signing=True)
        r, s = decode_dss_signature(key.sign(digest, algorithm))
        if self.name == "Secp256k1":
            s = min(s, SECP256K1_ORDER - s)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def _bls(self, message: bytes, dst: bytes) -> bytes:
        point = ark.G2Point.hash_to_curve(message, dst) * ark.Scalar.from_be_bytes(self.secret)
        return bytes(point.to_compressed_bytes())

    def prove(self) -> bytes:
        return self._bls(self.public, POP_PROOF)

    def seal(self) -> bytes:
        return SEAL + struct(**{self.name: data(self.secret)})

    @classmethod
    def unseal(cls, blob: bytes) -> "FakeKey | None":
        if not blob.startswith(SEAL):
            return None
        ((name, secret),) = load(blob.removeprefix(SEAL)).items()
        return cls(name, secret)


Hook = Callable[[str, Any], Awaitable[bytes | None]]
"""Called with each request's name and body; gives raw bytes to send in place of a framed reply, or None."""


@dataclass
class FakeEnclave:
    """Serves `path`. `hook` may delay a request or answer in its place; `denied` is KMS's last word."""

    path: Path
    hook: Hook | None = None
    denied: tuple[str, ...] = ()
    requests: list[tuple[str, Any]] = field(default_factory=list)
    """Names and bodies; a Hello, which a reference enclave does not know, is only counted."""
    hellos: int = 0
    connections: int = 0
    known_families: tuple[str, ...] = ("Secp256k1", "NistP256", "Ed25519", "Bls", *MLDSA)
    _counter: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def stop(self) -> None:
        """Like `kill -9`: the socket is gone, and every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.path.unlink(missing_ok=True)

    def count(self, name: str) -> int:
        return sum(1 for found, _ in self.requests if found == name)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        keys: list[FakeKey] | None = None
        with contextlib.suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                ((name, body),) = load(await reader.readexactly(size)).items()
                if name == "Hello":
                    self.hellos += 1
                    writer.write(len(UNKNOWN_HELLO).to_bytes(4, "big") + UNKNOWN_HELLO)
                    continue
                self.requests.append((name, body))
                bent = await self.hook(name, body) if self.hook else None
                if bent is not None:
                    writer.write(bent)
                    await writer.drain()
                    if bent == b"":
                        break
                    continue
                if name == "Initialize":
                    keys, reply = [], OK_NULL
                else:
                    reply = error("uninitialized") if keys is None else self._answer(name, body, keys)
                writer.write(len(reply).to_bytes(4, "big") + reply)
                await writer.drain()
        self._tasks.discard(task)
        writer.transport.abort()

    def _answer(self, name: str, body: Any, keys: list[FakeKey]) -> bytes:
        if name in {"Import", "ImportUnencrypted", "Generate", "GenerateAndImport"} and self.denied:
            return error("encryption error", "SDK error", "service error", *self.denied)
        if name == "Import":
            key = FakeKey.unseal(bytes(body))
            if key is None:
                return error("encryption error", "SDK error", "service error", "InvalidCiphertextException")
            return ok(struct(public_key=_public(key), handle=head(0, _keep(keys, key))))
        if name in {"GenerateAndImport", "ImportUnencrypted"}:
            return self._make(body, keys)
        if name == "ProvePossession":
            return ok(struct(Bls=data(keys[body].prove())))
        assert name == "Sign", name
        key = keys[body["handle"]]
        signature = key.sign(bytes(body["message"]), body["version"])
        # the reference's oddity: this one signature is an array
        return ok(struct(**{key.name: ints(signature) if key.name == "Ed25519" else data(signature)}))

    def _make(self, body: Any, keys: list[FakeKey]) -> bytes:
        name = body if isinstance(body, str) else next(iter(body))
        if name not in self.known_families:
            return error(f'Semantic(None, "unknown variant `{name}`, expected one of ...")')
        self._counter += 1
        secret = hashlib.sha256(f"{self.path} {self._counter}".encode()).digest()
        key = FakeKey(name, b"\x01" + secret[1:] if isinstance(body, str) else body[name])
        handle = head(0, _keep(keys, key))
        return ok(struct(encrypted_private_key=data(key.seal()), public_key=_public(key), handle=handle))


def _public(key: FakeKey) -> bytes:
    return struct(**{key.name: data(key.public)})


def _keep(keys: list[FakeKey], key: FakeKey) -> int:
    keys.append(key)
    return len(keys) - 1
