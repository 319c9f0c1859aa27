"""The software NSM's own certificates, shaped like those of a Nitro enclave and marked as not genuine.

The root is kept on disk. Below it a chain is made anew when the leaf runs out: regional, zonal, instance,
leaf, with the lifetimes and constraints of the genuine ones. None of it can verify against the AWS root.
"""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cli.local.state import read_bytes
from signatory.errors import ConfigError
from signatory.files import replace_durably

MARK = "NOT GENUINE"
LEAF_LIFETIME = timedelta(hours=3, seconds=3)
_LIFETIMES = (timedelta(days=20, hours=1), timedelta(days=5, hours=16), timedelta(hours=24))
_ROOT_LIFETIME = timedelta(days=365 * 30)


@dataclass(frozen=True, slots=True)
class Signer:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True, slots=True)
class Chain:
    """A leaf that signs documents and the bundle above it, root first."""

    leaf: Signer
    bundle: tuple[bytes, ...]

    def outlasts(self, moment: datetime) -> bool:
        return self.leaf.certificate.not_valid_after_utc > moment


def open_root(folder: Path, now: datetime) -> Signer:
    """The root in `folder` (root.key, root.der), made where absent. Raises ConfigError, UnavailableError."""
    key_path, certificate_path = folder / "root.key", folder / "root.der"
    if not key_path.exists():
        root = _make_root(now)
        replace_durably(certificate_path, root.der)
        replace_durably(key_path, _pem(root.key))
    try:
        key = serialization.load_pem_private_key(read_bytes(key_path), None)
        certificate = x509.load_der_x509_certificate(read_bytes(certificate_path))
    except ValueError:
        raise ConfigError(f"{folder} does not hold a root certificate and its key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigError(f"{key_path} is not the key of {certificate_path}")
    return Signer(certificate, key)


def issue(root: Signer, region: str, instance_id: str, module_id: str, now: datetime) -> Chain:
    """A new chain below `root` whose leaf signs for `module_id` from now on."""
    suffix = f"{region}.not-genuine"
    labels = (
        f"{secrets.token_hex(8)}.{suffix}",
        f"{secrets.token_hex(8)}.zonal.{suffix}",
        f"{instance_id}.{suffix}",
    )
    issuer, bundle = root, [root.der]
    for depth, (label, lifetime) in enumerate(zip(labels, _LIFETIMES, strict=True)):
        issuer = _authority(issuer, label, 2 - depth, now, lifetime)
        bundle.append(issuer.der)
    return Chain(_leaf(issuer, f"{module_id}.{region}", now), tuple(bundle))


def _make_root(now: datetime) -> Signer:
    key = ec.generate_private_key(ec.SECP384R1())
    name = _name(f"{MARK} signatory-dev emulator root")
    start = now.replace(microsecond=0) - timedelta(days=1)
    builder = _builder(name, name, key, start, start + _ROOT_LIFETIME)
    return Signer(_authority_extensions(builder, key, key, None).sign(key, hashes.SHA384()), key)


def _authority(issuer: Signer, label: str, path_length: int, now: datetime, lifetime: timedelta) -> Signer:
    key = ec.generate_private_key(ec.SECP384R1())
    start = now.replace(microsecond=0)
    builder = _builder(_name(label), issuer.certificate.subject, key, start, start + lifetime)
    builder = _authority_extensions(builder, key, issuer.key, path_length)
    return Signer(builder.sign(issuer.key, hashes.SHA384()), key)


def _leaf(issuer: Signer, label: str, now: datetime) -> Signer:
    key = ec.generate_private_key(ec.SECP384R1())
    start = now.replace(microsecond=0)
    builder = _builder(_name(label), issuer.certificate.subject, key, start, start + LEAF_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(key_usage(digital_signature=True, content_commitment=True), critical=True)
    return Signer(builder.sign(issuer.key, hashes.SHA384()), key)


def _authority_extensions(
    builder: x509.CertificateBuilder,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    path_length: int | None,
) -> x509.CertificateBuilder:
    subject_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    usage = key_usage(digital_signature=True, key_cert_sign=True, crl_sign=True)
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(subject_id, critical=False)
        .add_extension(authority_id, critical=False)
        .add_extension(usage, critical=True)
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start.astimezone(UTC))
        .not_valid_after(end.astimezone(UTC))
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"{MARK} (signatory dev)"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
        ]
    )


def key_usage(**set_bits: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: set_bits.get(name, False) for name in names})


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
