"""Which certificates TLS to KMS trusts: those whose fingerprints the measured settings list, no others."""

import hashlib
import re
import ssl
from collections.abc import Sequence

from signatory.errors import ConfigError

AMAZON = (
    "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
    "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
    "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
    "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
    "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
)
"""Amazon Root CA 1, 2, 3, 4, and Starfield Services Root Certificate Authority - G2: SHA-256 of the DER.

Source: the certificates of these names in Mozilla's list of roots.
"""

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
