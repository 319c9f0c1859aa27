"""A KMS that says what a test wants it to say, and sessions with it inside this process."""

import asyncio
import base64
import inspect
import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from emulators import ACCESS, KEY_ARN

from cli.local import laptop_ca
from enclave_signer import nsm
from enclave_signer.channels import Channels
from enclave_signer.kms import KmsSession
from enclave_signer.recipients import Recipients
from enclave_signer.roots import pinned_roots, tls_context
from enclave_signer.route import Route
from signatory.net.vsock import Address
from signatory.nitro import cms
from signatory.nitro import nsm as facts
from signatory.nitro.kms import Arn
from signatory.nitro.sigv4 import AccessKey

HOST = "kms.localhost"
KEY = Arn.parse(KEY_ARN)
OTHER = Arn.parse(KEY_ARN[:-1] + "c")
FOREIGN = Arn.parse(KEY_ARN.replace("111122223333", "999999999999"))
Answer = Callable[[bytes], bytes | Awaitable[bytes]]


def client_context(folder: Path) -> ssl.SSLContext:
    """The pinned TLS of an enclave that trusts the servers of this folder."""
    fingerprint = laptop_ca.prepare(folder, HOST, datetime.now(UTC))
    return tls_context(pinned_roots((folder / laptop_ca.CA_FILE).read_bytes(), [fingerprint]))


@asynccontextmanager
async def tls_server(folder: Path, *answers: bytes | Answer, host: str = HOST) -> AsyncIterator[Address]:
    """A TLS server that answers one request after the other with these bytes, whichever connection asks.

    It hangs up after the last one, and after one that says so.
    """
    laptop_ca.prepare(folder, host, datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / laptop_ca.CERTIFICATE_FILE, folder / laptop_ca.KEY_FILE)
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while left:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                request = head + await reader.readexactly(size)
                said = await _say(left.pop(0), request)
                writer.write(said)
                await writer.drain()
                if b"Connection: close" in said:
                    return
        except (EOFError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield Address("tcp", "127.0.0.1", server.sockets[0].getsockname()[1])


async def _say(answer: bytes | Answer, request: bytes) -> bytes:
    if isinstance(answer, bytes):
        return answer
    said = answer(request)
    return await said if inspect.isawaitable(said) else said


def http(body: bytes, status: int = 200, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def asked(request: bytes) -> dict[str, Any]:
    """The members of a request to KMS."""
    members: dict[str, Any] = json.loads(request.partition(b"\r\n\r\n")[2])
    return members


def recipient_of(request: bytes) -> bytes:
    """The public key that was attested; a document of `Module` is nothing else."""
    return base64.b64decode(asked(request)["Recipient"]["AttestationDocument"])


def answered(key: Arn | str = KEY, **members: bytes | None) -> bytes:
    texts = {name: base64.b64encode(value).decode() for name, value in members.items() if value is not None}
    return http(json.dumps({"KeyId": str(key), **texts}).encode())


def encrypted(key: Arn | str = KEY) -> bytes:
    return answered(key, CiphertextBlob=b"\x01\x02\x03")


def refused(name: str, message: str, *headers: str) -> bytes:
    return http(json.dumps({"__type": name, "message": message}).encode(), 400, *headers)


def to_recipient(
    plaintext: bytes, key: Arn | str = KEY, *, wrapped: bytes | None = None, spki: bytes | None = None
) -> Answer:
    """An answer to Decrypt, or with `wrapped` to GenerateDataKey, as KMS gives it."""

    def answer(request: bytes) -> bytes:
        envelope = cms.build(spki or recipient_of(request), plaintext, entropy=os.urandom)
        return answered(key, CiphertextForRecipient=envelope, CiphertextBlob=wrapped)

    return answer


@dataclass
class Module:
    """A module whose documents are the attested public key itself. It keeps what was asked of it."""

    asked: list[facts.Request] = field(default_factory=list)

    async def request(self, body: bytes) -> bytes:
        request = facts.decode_request(body)
        self.asked.append(request)
        if isinstance(request, facts.Attestation):
            return facts.encode_reply(request, request.public_key)
        if isinstance(request, facts.DescribePcr):
            return facts.encode_reply(request, facts.Register(True, b"\xab" * 48))
        return facts.encode_error("InternalError")


@asynccontextmanager
async def session(
    address: Address,
    context: ssl.SSLContext,
    module: nsm.Nsm | None = None,
    *,
    allowed: tuple[Arn, ...] = (KEY,),
    connections: int = 2,
    attempts: int = 2,
    max_skew: timedelta = timedelta(hours=1),
    access: AccessKey = ACCESS,
    seconds: float = 20.0,
) -> AsyncIterator[KmsSession]:
    recipients = Recipients()
    recipients.start()
    channels = Channels(address, context, HOST, connections)
    route = Route(HOST, channels, module or Module(), recipients, seconds, attempts, max_skew)
    made = KmsSession(KEY, allowed, access, route)
    yield made
    made.close()
    await recipients.close()
