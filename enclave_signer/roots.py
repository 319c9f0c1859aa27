"""Which certificates TLS to KMS trusts: those whose fingerprints the measured settings list, no others."""

import hashlib
import re
import ssl
from collections.abc import Sequence

from signatory.errors import ConfigError

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]{1,16384}?-----END CERTIFICATE-----")


def pinned_roots(pem: bytes, fingerprints: Sequence[str]) -> str:
    """The PEM of exactly the listed certificates, each found by the SHA-256 of its DER.

    The file itself need not be trusted. Raises ConfigError when a listed certificate is not in it.
    """
    found: dict[str, str] = {}
    for block in _CERTIFICATE.findall(pem.decode("ascii", "replace")):
        try:
            der = ssl.PEM_cert_to_DER_cert(block)
        except ValueError:
            continue
        found[hashlib.sha256(der).hexdigest()] = ssl.DER_cert_to_PEM_cert(der)
    missing = [fingerprint for fingerprint in fingerprints if fingerprint not in found]
    if missing:
        raise ConfigError(f"no certificate in the file has the fingerprint {missing[0]}")
    return "".join(found[fingerprint] for fingerprint in fingerprints)


def tls_context(pem: str) -> ssl.SSLContext:
    """A client context that trusts these roots only, checks the host name and speaks TLS 1.2 or later.

    Raises ConfigError when a root is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=pem)
    except ssl.SSLError:
        raise ConfigError("a pinned root is not a certificate") from None
    return context
