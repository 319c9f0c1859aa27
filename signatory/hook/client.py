"""A policy hook over HTTP: one question before each signature; no answer in time is a no."""

import asyncio
import os
import secrets
import ssl

import aiohttp
from yarl import URL

from signatory.errors import IntegrityError, UnavailableError
from signatory.hook.approvers import Approvers, check_status, status_line
from signatory.hook.seam import Question
from signatory.hook.wire import encode
from signatory.tezos.keys import PublicKey
from signatory.vault import Call

TIMEOUT = 5.0
"""Seconds from the question to the last byte of the answer, the wait for a free connection included."""
MAX_REPLY = 64 * 1024
"""Bytes of an answer's body, as they come; nothing is decompressed."""
CONNECTIONS = 64
"""Questions under way at once; more of them wait."""
_IDLE = 1.0
"""Seconds an idle connection is used again. Many servers close after 2 or 5, and a question is asked once."""
_NONCE = 32

_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "signatory-vault",
}
_HINT = "nothing is signed while the policy hook does not answer; check that it runs, and its address"


class HttpHook:
    """Asks `address`. With keys, only an answer that one of them signed counts.

    The address may hold a secret in its path or query, so no message of ours shows it. Neither redirects nor
    proxies nor cookies: who answers is who was asked.

    Without keys each question has a connection of its own. On one that is used again, whatever came early (a
    second answer, the body of a 204, a 408 to an idle client) would be taken for the answer to the next
    question; with keys the nonce tells them apart.
    """

    def __init__(
        self,
        address: str,
        authorized_keys: tuple[PublicKey, ...] | None,
        *,
        timeout: float = TIMEOUT,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls` checks the server of an https address, the system's authorities do where it is None.

        Raises MalformedError for a key that is none.
        """
        self._address = URL(address, encoded=True)
        self._approvers = None if authorized_keys is None else Approvers(authorized_keys)
        self._timeout = timeout
        self._tls = (tls or _trusting_the_system()) if self._address.scheme == "https" else None
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def ask(self, question: Question, call: Call) -> None:
        """Return to allow. Raises DeniedError, UnavailableError (no answer), IntegrityError (a wrong one)."""
        nonce = secrets.token_bytes(_NONCE)
        limit = min(self._timeout, call.timeout)
        try:
            async with asyncio.timeout(limit):
                status, reason, body = await self._post(encode(question, nonce))
        except TimeoutError:
            raise UnavailableError(f"policy hook: no answer within {limit:g} s", hint=_HINT) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _mapped(error) from None  # its text has the address
        if self._approvers is None:
            check_status(status, reason)
        else:
            self._approvers.judge(body, status, reason, nonce)

    async def close(self) -> None:
        """Close the connections; questions asked later are not. Idempotent."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _post(self, body: bytes) -> tuple[int, str, bytes]:
        async with self._opened().post(self._address, data=body, allow_redirects=False) as response:
            return response.status, status_line(response.status, response.reason or ""), await _read(response)

    def _opened(self) -> aiohttp.ClientSession:
        """The session; made by the first question, because it belongs to the running loop."""
        if self._closed:
            raise UnavailableError("policy hook: the daemon is stopping")
        if self._session is None:
            alone = self._approvers is None
            connector = aiohttp.TCPConnector(
                limit=CONNECTIONS,
                force_close=alone,
                keepalive_timeout=None if alone else _IDLE,
                ssl=True if self._tls is None else self._tls,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(),  # ours is around the whole
                headers=_HEADERS,
                trust_env=False,
                auto_decompress=False,
                read_bufsize=MAX_REPLY,
            )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body. Raises IntegrityError above MAX_REPLY; its connection is then not used again."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MAX_REPLY:
            raise IntegrityError(
                f"policy hook: the answer is longer than {MAX_REPLY} bytes",
                hint="a status and, where answers are signed, one small JSON object are enough",
            )
    return bytes(body)


def _trusting_the_system() -> ssl.SSLContext:
    """Trusts the authorities of the machine, or of SSL_CERT_FILE and SSL_CERT_DIR; TLS 1.2 or later."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def _mapped(error: Exception) -> UnavailableError | IntegrityError:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            text = "its certificate is not trusted"
            hint = "SSL_CERT_FILE names the authorities to trust, where they are not the system's"
            return IntegrityError(f"policy hook: {text}", hint=hint)
        case aiohttp.ClientConnectorSSLError():
            return UnavailableError("policy hook: no TLS connection", hint=_HINT)
        case aiohttp.ClientConnectorDNSError():
            return UnavailableError("policy hook: its host name has no address", hint=_HINT)
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno  # its own text has the address
            reason = os.strerror(number).lower() if number else "no connection"
            return UnavailableError(f"policy hook: {reason}", hint=_HINT)
        case aiohttp.ClientResponseError() | ValueError():
            return IntegrityError(
                "policy hook: the answer is not HTTP", hint="check the port in `policy_hook`"
            )
    return UnavailableError("policy hook: the connection was lost before the answer", hint=_HINT)
