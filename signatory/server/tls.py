"""TLS of the main listener: certificate, key and client authorities, read from their files and judged.

A reload makes a new context and hands it to the listener (`LimitedServer.tls`): connections that stand keep
theirs, new ones get the new one, and a session that began under the old one cannot be resumed.
"""

import logging
import os
import ssl
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from signatory.config.server import TlsConfig
from signatory.errors import ConfigError

logger = logging.getLogger("signatory")

MAX_FILE = 1024 * 1024
"""Bytes of one file."""
CIPHERS = "@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only, as TLS 1.3 has by itself."""
_SOON = 5
"""A warning when less than this part of a certificate's life is left: 1/5."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of `server.tls`."""

    config: TlsConfig

    def context(self, now: datetime | None = None) -> ssl.SSLContext:
        """Read them all anew and judge them; blocks for some milliseconds.

        Raises ConfigError that names the file and what is wrong with it.
        """
        now = now or datetime.now(UTC)
        config = self.config
        leaf = _certificates(config.certificate)[0]
        _check_key(config, leaf)
        _check_time(config.certificate, leaf, now)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(config.certificate, config.key, password=_no_password)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(
                f"cannot use {config.certificate} with {config.key}: {_reason(error)}",
                hint="RSA keys need 2,048 bits or more; reload again when files were just being replaced",
            ) from None
        if config.client_ca is not None:
            _ask_clients(context, config.client_ca, now)
        return context


def _ask_clients(context: ssl.SSLContext, path: Path, now: datetime) -> None:
    found = _certificates(path)
    for certificate in found:
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            logger.warning("%s: not valid now: %s", path, _name(certificate))
    try:
        context.load_verify_locations(cadata=b"".join(one.public_bytes(Encoding.DER) for one in found))
    except ssl.SSLError as error:
        raise ConfigError(f"cannot use {path}: {_reason(error)}") from None
    context.verify_mode = ssl.CERT_REQUIRED
    # One that stands in the file is trusted, also where it is not a root.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    # A resumed session would not look at the client's certificate again, which may have expired meanwhile.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET


def _check_key(config: TlsConfig, leaf: x509.Certificate) -> None:
    """Raises ConfigError unless the key is there, open, and the one of the certificate."""
    data = _read(config.key)
    try:
        key = load_pem_private_key(data, None)
    except TypeError:
        _no_password()
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{config.key} is not a private key in PEM") from None
    public = [
        one.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for one in (key.public_key(), leaf.public_key())
    ]
    if public[0] != public[1]:
        raise ConfigError(
            f"{config.key} is not the key of {config.certificate}",
            hint="the server's own certificate stands first in its file, those that signed it after it",
        )
    if config.key.stat().st_mode & stat.S_IROTH:
        logger.warning("%s can be read by everybody on this machine (chmod o-r)", config.key)


def _check_time(path: Path, leaf: x509.Certificate, now: datetime) -> None:
    """Raises ConfigError for a certificate that no client would accept now."""
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now > end:
        raise ConfigError(f"{path} expired on {end:%Y-%m-%d %H:%M} UTC", hint="renew it; check the clock")
    if now < begin:
        raise ConfigError(f"{path} is not valid before {begin:%Y-%m-%d %H:%M} UTC", hint="check the clock")
    if (end - now) * _SOON < end - begin:
        logger.warning("%s expires on %s UTC", path, end.strftime("%Y-%m-%d %H:%M"))


def _certificates(path: Path) -> Sequence[x509.Certificate]:
    """At least one. Raises ConfigError."""
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError:
        raise ConfigError(f"{path} has no certificate in PEM, or one that cannot be read") from None


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"{path} is not a file")
            data = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        raise ConfigError(f"cannot read {path}: {reason}", hint="see `server.tls`") from None
    if len(data) > MAX_FILE:
        raise ConfigError(f"{path} is longer than {MAX_FILE} bytes")
    return data


def _no_password() -> NoReturn:
    """In place of OpenSSL's question on the terminal."""
    raise ConfigError(
        "the key of `server.tls` has a password",
        hint="a daemon has nobody to ask: store the key without one, readable by the daemon's user only",
    )


def _reason(error: OSError) -> str:
    """OpenSSL's word for it, in lower case."""
    reason = getattr(error, "reason", None) or error.strerror or "unreadable"
    return str(reason).lower().replace("_", " ")


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:128] or f"serial {certificate.serial_number:x}"
