"""Which protocol a connection speaks: the extended one after a Hello, or the reference's.

Only the enclave's own words, that it knows no request of the name Hello, lead back to the reference protocol,
and never where the extended one was spoken before: a parent that drops, delays or garbles bytes gains
nothing. Source: docs/enclave-protocol.md, "Which protocol is spoken".
"""

import asyncio
import logging
import os
from enum import Enum

from signatory.errors import IntegrityError, MalformedError, SignatoryError, UnavailableError
from signatory.net import vsock
from signatory.rpc import cbor, hello, wire
from signatory.rpc import extended as ext
from signatory.rpc.messages import RemoteError
from vaults.nitro.channel import ExtendedClient
from vaults.nitro.client import EnclaveClient
from vaults.nitro.line import RETRY, Line
from vaults.nitro.refusals import explain

logger = logging.getLogger(__name__)

UNKNOWN = "unknown variant `Hello`"
"""What a reference enclave says of a Hello."""


class Protocol(Enum):
    """The value is the word of the configuration."""

    AUTO = "auto"
    REFERENCE = "reference"
    EXTENDED = "extended"


class DowngradeError(IntegrityError):
    """An enclave that spoke the extended protocol says that it does not know it."""


async def connect(
    address: vsock.Address, within: float, protocol: Protocol, *, once_extended: bool
) -> EnclaveClient | ExtendedClient:
    """Dial and agree on a protocol, within that many seconds.

    `once_extended` says whether this vault ever spoke the extended protocol. Raises UnavailableError for no
    connection, no answer in time and a refusal, DeniedError for some refusals, IntegrityError for an answer
    that is none, DowngradeError.
    """
    if protocol is Protocol.REFERENCE:
        return await EnclaveClient.connect(address, within)
    deadline = asyncio.get_running_loop().time() + within
    greeting = await _Greeting.dial(address, within)
    try:
        asked = hello.encode_hello(ext.Hello(os.urandom(hello.NONCE)))
        try:
            async with asyncio.timeout_at(deadline):
                answered = await greeting.exchange(asked)
        except TimeoutError as error:
            raise UnavailableError(
                f"no answer from the enclave to Hello within {within:.3g} s", hint=RETRY
            ) from error
        welcome = _read(answered, protocol, once_extended=once_extended)
        if welcome is not None:
            return ExtendedClient(greeting.line, welcome, hello.transcript(asked, answered), within)
    except BaseException:
        await greeting.hang_up()
        raise
    logger.warning(
        "The enclave at %s does not know the extended protocol: the reference protocol is used, which cannot "
        "attest the enclave",
        address,
    )
    return EnclaveClient(greeting.line)


def _read(body: bytes, protocol: Protocol, *, once_extended: bool) -> ext.Welcome | None:
    """The Welcome, or None where the reference protocol may be used in its place."""
    try:
        cbor.read(body, whole=True)
        return hello.decode_welcome(body)
    except MalformedError as error:
        raise IntegrityError(f"the enclave's reply to Hello cannot be read: {error.message}") from error
    except RemoteError as error:
        if UNKNOWN not in error.chain[0]:
            raise explain("the enclave refuses to begin the extended protocol", error) from error
        if protocol is Protocol.EXTENDED:
            raise UnavailableError(
                "the enclave speaks the reference protocol only",
                hint="use an image with the extended protocol, or set enclave_protocol: reference and leave "
                "expected_pcrs and manifest out",
            ) from error
        if once_extended:
            raise DowngradeError(
                "the enclave says that it does not know the extended protocol, which this vault spoke before",
                hint="somebody may have exchanged the enclave, or stand between; if an older image is meant, "
                "set enclave_protocol: reference",
            ) from error
        return None


class _Greeting:
    """The first exchange of a connection, until a client takes its line over."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._failure: SignatoryError | None = None
        line.arrived, line.ended, line.expects = self._reply.set_result, self._ended, self._expects
        self._asked = False

    @classmethod
    async def dial(cls, address: vsock.Address, within: float) -> "_Greeting":
        made: list[_Greeting] = []

        def start() -> Line:
            made.append(cls(Line()))
            return made[-1].line

        await vsock.dial(start, address, within)
        return made[-1]

    async def exchange(self, body: bytes) -> bytes:
        """The body of the one reply. Raises UnavailableError or IntegrityError, also for bytes behind it."""
        if self._failure is None:
            self._asked = True
            self.line.send(wire.put_frame(body))
            await asyncio.wait([self._reply])
        if self._failure is not None:
            raise self._failure
        return self._reply.result()

    async def hang_up(self) -> None:
        self.line.abort()
        await self.line.released.wait()

    def _expects(self) -> bool:
        return self._asked and not self._reply.done()

    def _ended(self, error: SignatoryError) -> None:
        self._failure = self._failure or error
        if not self._reply.done():
            self._reply.cancel()
