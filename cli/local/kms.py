"""The KMS emulator as a process: `python -I -m cli.local.kms STATE_DIR`.

AWS JSON 1.1 over TLS on loopback; STATE_DIR is described in kms_state. It prints `listening on ADDRESS`,
once it serves. Beside `fail`, `delay`, `clear` and `status` (see faults) its control socket
knows

    {"do": "plaintext", "operation": "Decrypt", "times": 1}
        answer in clear although a Recipient was named, as a hostile parent would
    {"do": "key", "operation": "Decrypt", "arn": ARN, "times": 1}
        name this key in the answer
    {"do": "forge", "operation": "Decrypt", "plaintext": BASE64, "times": 1}
        seal these bytes to the recipient instead of the secret (absent: random ones, of the same length)
    {"do": "expire", "access_key_id": ID, "seconds": 3}
        let a credential run out in so many seconds
    {"do": "credential", "like": ID, "access_key_id": NEW, "secret_access_key": ..., "session_token": ...,
     "seconds": 3}
        know one more of the same principal, for so many seconds (absent: for ever)
"""

import asyncio
import base64
import contextlib
import hashlib
import logging
import ssl
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from cli.local import process, state
from cli.local.faults import Extra, Faults, operation, serve_control, times
from cli.local.kms_http import Api
from cli.local.kms_operations import Operations
from cli.local.kms_state import Credential, KmsConfig, KmsState
from signatory.errors import ConfigError, MalformedError, UnavailableError
from signatory.net.vsock import Address
from signatory.nitro.kms import MAX_PLAINTEXT, Arn
from signatory.nitro.sigv4 import AccessKey

MAX_CONNECTIONS = 128
HANDSHAKE_TIMEOUT = 10.0
MAX_LIFETIME = 600.0
"""Seconds after which a connection takes no further request; clients open another."""

_log = logging.getLogger("kms")


async def serve(folder: Path) -> None:
    """Serve until told to stop. Raises ConfigError, UnavailableError."""
    config, faults = KmsConfig.load(folder), Faults()
    kept = KmsState(folder, config.region, config.account)
    root = state.read_bytes(folder / config.nsm_root)
    operations = Operations(kept, hashlib.sha256(root).digest(), _now, faults)
    api = Api(kept, config.region, operations, _now, faults)
    control = await serve_control(Address.parse(config.control), faults, _commands(kept, faults))
    runner = web.AppRunner(api.application(), access_log=None, keepalive_timeout=60, max_line_size=16384)
    await runner.setup()
    try:
        server = await _listen(runner, Address.parse(config.listen), _tls(folder, config))
        host, port = server.sockets[0].getsockname()[:2]
        _log.info("NOT GENUINE: KMS emulator of %s on %s:%s", config.region, host, port)
        print(f"listening on tcp://{host}:{port}", flush=True)
        with contextlib.closing(control), contextlib.closing(server):
            await process.until_stopped()
    finally:
        await runner.cleanup()


def _now() -> datetime:
    return datetime.now(UTC)


def _tls(folder: Path, config: KmsConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(folder / config.certificate, folder / config.certificate_key)
    except (OSError, ssl.SSLError) as failure:
        raise ConfigError(f"cannot use the certificate {folder / config.certificate}: {failure}") from failure
    return context


async def _listen(runner: web.AppRunner, address: Address, context: ssl.SSLContext) -> asyncio.Server:
    """Serve on loopback; what comes above MAX_CONNECTIONS is closed at once.

    Raises ConfigError, UnavailableError.
    """
    if address.family != "tcp" or address.host not in {"127.0.0.1", "::1"}:
        raise ConfigError(f"{address} is not a TCP address on loopback")
    web_server, loop = runner.server, asyncio.get_running_loop()
    if web_server is None:
        raise UnavailableError("the server was not set up")

    def connect() -> asyncio.BaseProtocol:
        if len(web_server.connections) >= MAX_CONNECTIONS:
            return _Refusal()
        protocol = web_server()
        loop.call_later(MAX_LIFETIME, protocol.close)
        return protocol

    try:
        return await loop.create_server(
            connect, address.host, address.port, ssl=context, ssl_handshake_timeout=HANDSHAKE_TIMEOUT
        )
    except OSError as failure:
        raise UnavailableError(f"cannot listen on {address}: {failure.strerror or failure}") from failure


class _Refusal(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _commands(kept: KmsState, faults: Faults) -> Extra:
    def obey(name: str, command: Mapping[str, Any]) -> Mapping[str, Any] | None:
        match name:
            case "plaintext":
                faults.add("plaintext", operation(command), True, times(command))
            case "key":
                faults.add("key", operation(command), _arn(command), times(command))
            case "forge":
                faults.add("forge", operation(command), _forged(command), times(command))
            case "expire":
                _expire(kept, command)
            case "credential":
                kept.put_credential(_credential(kept, command))
            case _:
                return None
        return {"ok": True}

    return obey


def _arn(command: Mapping[str, Any]) -> Arn:
    return Arn.parse(str(command.get("arn")))


def _forged(command: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(command.get("plaintext", ""), validate=True)[:MAX_PLAINTEXT]
    except (TypeError, ValueError):
        raise MalformedError("plaintext is base64") from None


def _expire(kept: KmsState, command: Mapping[str, Any]) -> None:
    found = kept.credential(str(command.get("access_key_id")))
    if found is None:
        raise MalformedError("no such access_key_id")
    kept.put_credential(Credential(found.key, found.principal, _now() + _lifetime(command)))


def _credential(kept: KmsState, command: Mapping[str, Any]) -> Credential:
    """A further credential, of the principal of `like` (an access key id that is known)."""
    like = kept.credential(str(command.get("like")))
    if like is None:
        raise MalformedError("like must be the access_key_id of a known credential")
    key = AccessKey(
        str(command.get("access_key_id")), str(command.get("secret_access_key")), command.get("session_token")
    )
    return Credential(key, like.principal, _now() + _lifetime(command) if "seconds" in command else None)


def _lifetime(command: Mapping[str, Any]) -> timedelta:
    seconds = command.get("seconds")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds <= 86400 * 365:
        raise MalformedError("seconds is a number from 0 to a year")
    return timedelta(seconds=seconds)


if __name__ == "__main__":
    sys.exit(process.run(serve, sys.argv))
