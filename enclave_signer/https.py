"""One HTTPS connection to KMS: through the parent's proxy, which sees TLS only, and HTTP/1.1 by hand.

Only what KMS needs: POST, a body of known length, answers of known length. Anything else ends the connection.
Source: RFC 9112.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from signatory.errors import UnavailableError
from signatory.net.vsock import Address, connect

MAX_HEAD = 16 * 1024
"""Bytes of a status line with its headers."""

MAX_BODY = 64 * 1024
"""Bytes of an answer; the longest that KMS gives us is some 12,000."""

CONNECT_TIMEOUT = 10.0
"""Seconds to reach the proxy."""

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_STATUS = re.compile(r"HTTP/1\.([01]) ([2-5][0-9]{2})(?: [ -~\x80-\xff]*)?")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~\t\x80-\xff]*)")
_DATE = "%a, %d %b %Y %H:%M:%S GMT"


class DispatchError(UnavailableError):
    """No answer came: KMS, the proxy or TLS between us failed. `retryable`: another try may help."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. `date` is the server's clock, when it said so."""

    status: int
    date: datetime | None
    body: bytes = field(repr=False)


class HttpsChannel:
    """Opened when needed, kept while the other side keeps it; for one caller at a time."""

    def __init__(self, proxy: Address, context: ssl.SSLContext, host: str) -> None:
        self._proxy = proxy
        self._context = context
        self._host = host
        self._streams: _Streams | None = None

    async def post(self, headers: Mapping[str, str], body: bytes) -> Response:
        """Post to `/` and read the answer; the caller bounds the time. Raises DispatchError.

        A kept connection that breaks before the head of the answer is whole is replaced: what we ask may be
        asked twice.
        """
        request = _request(headers, body)
        try:
            if self._streams is not None:
                with contextlib.suppress(_StaleError):
                    return await self._exchange(*self._streams, request)
            self.close()
            return await self._exchange(*await self._open(), request)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection at once."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _open(self) -> _Streams:
        try:
            self._streams = await connect(self._proxy, CONNECT_TIMEOUT)
        except UnavailableError as error:
            raise DispatchError(f"the way to {self._host} is closed: {error.message}") from error
        _, writer = self._streams
        try:
            await writer.start_tls(self._context, server_hostname=self._host)
        except ssl.SSLCertVerificationError as error:
            reason = f"{self._host} did not prove who it is: {error.verify_message}"
            raise DispatchError(reason, retryable=False) from None
        except ssl.SSLError as error:
            reason = f"TLS with {self._host} failed: {error.reason or 'no reason given'}"
            raise DispatchError(reason) from None
        except (OSError, EOFError) as error:
            raise DispatchError(f"the connection to {self._host} broke in the TLS handshake") from error
        return self._streams

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> Response:
        try:
            writer.write(request)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise _StaleError(f"{self._host} hung up" + (" in its answer" if error.partial else "")) from None
        except asyncio.LimitOverrunError:
            raise DispatchError(f"{self._host} sent headers without end", retryable=False) from None
        except OSError as error:
            raise _StaleError(f"the connection to {self._host} broke: {error.strerror or 'TLS'}") from error
        return await self._answer(reader, head)

    async def _answer(self, reader: asyncio.StreamReader, head: bytes) -> Response:
        status, headers, keeps = _parse_head(head)
        size = _body_size(headers)
        try:
            body = await reader.readexactly(size)
        except (OSError, EOFError) as error:
            raise DispatchError(f"{self._host} hung up in its answer") from error
        if not keeps:
            self.close()
        return Response(status, _parse_date(headers.get("date", "")), body)


class _StaleError(DispatchError):
    """The connection broke before an answer."""


def _request(headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return f"POST / HTTP/1.1\r\n{''.join(lines)}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body


def _parse_head(head: bytes) -> tuple[int, dict[str, str], bool]:
    """Status, headers by lower-case name, and whether the connection stays open."""
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    status = _STATUS.fullmatch(first)
    if len(head) > MAX_HEAD or not status:
        raise DispatchError("what answered is not an HTTP server that we understand", retryable=False)
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if not header or header[1].lower() in headers:
            raise DispatchError("the answer has a malformed or repeated header", retryable=False)
        headers[header[1].lower()] = header[2].strip()
    closes = headers.get("connection", "keep-alive").lower() != "keep-alive"
    return int(status[2]), headers, status[1] == "1" and not closes


def _body_size(headers: Mapping[str, str]) -> int:
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers or not re.fullmatch(r"[0-9]{1,9}", length):
        raise DispatchError("the answer does not say its length", retryable=False)
    if int(length) > MAX_BODY:
        raise DispatchError(f"an answer of {length} bytes; at most {MAX_BODY} are read", retryable=False)
    return int(length)


def _parse_date(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _DATE).replace(tzinfo=UTC)
    except ValueError:
        return None
