"""The laptop's own certification authority and the KMS emulator's certificate under it.

The CA is made once per state folder and may only vouch for names below `localhost`; the server's certificate
and key are made anew at every start. Nothing of it is ever put into a trust store: the enclave's settings pin
the CA by fingerprint.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cli.local.nsm_chain import MARK, key_usage
from cli.local.state import read_bytes
from signatory.errors import ConfigError
from signatory.files import replace_durably

CA_FILE = "ca.pem"
_CA_KEY = "ca.key"
CERTIFICATE_FILE = "server.pem"
KEY_FILE = "server.key"
_CA_LIFETIME = timedelta(days=365 * 10)
_SERVER_LIFETIME = timedelta(days=365)


def prepare(folder: Path, host: str, now: datetime) -> str:
    """Make the CA where there is none and a fresh certificate for `host` and localhost; the CA's fingerprint.

    The fingerprint is SHA-256 of the CA's DER in hex. Raises ConfigError, UnavailableError.
    """
    if not (folder / _CA_KEY).exists():
        _make_ca(folder, now)
    authority, authority_key = _open_ca(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(f"{MARK} {host}"), authority.subject, key, now, _SERVER_LIFETIME)
        .add_extension(_names(host), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(key_usage(digital_signature=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority_id(authority_key), critical=False)
    )
    certificate = builder.sign(authority_key, hashes.SHA256())
    replace_durably(folder / CERTIFICATE_FILE, certificate.public_bytes(serialization.Encoding.PEM))
    replace_durably(folder / KEY_FILE, _pem(key))
    return hashlib.sha256(authority.public_bytes(serialization.Encoding.DER)).hexdigest()


def _make_ca(folder: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"{MARK} signatory-dev laptop CA")
    below_localhost = x509.NameConstraints([x509.DNSName("localhost")], None)
    builder = (
        _builder(name, name, key, now, _CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(below_localhost, critical=True)
        .add_extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority_id(key), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    replace_durably(folder / CA_FILE, certificate.public_bytes(serialization.Encoding.PEM))
    replace_durably(folder / _CA_KEY, _pem(key))


def _open_ca(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(read_bytes(folder / CA_FILE))
        key = serialization.load_pem_private_key(read_bytes(folder / _CA_KEY), None)
    except ValueError:
        raise ConfigError(f"{folder} does not hold a CA certificate and its key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigError(f"{folder / _CA_KEY} is not the key of {folder / CA_FILE}")
    return certificate, key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    start = now.astimezone(UTC) - timedelta(minutes=5)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
    )


def _names(host: str) -> x509.SubjectAlternativeName:
    """`localhost` is for SDKs and tools of the operator, which cannot resolve names below it everywhere."""
    return x509.SubjectAlternativeName([x509.DNSName(host), x509.DNSName("localhost")])


def _authority_id(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
