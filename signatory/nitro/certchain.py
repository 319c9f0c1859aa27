"""The path from a pinned root to the certificate of one Nitro module, by rules written out here.

General X.509 verifiers refuse these chains for what they lack and accept what we do not want. Rules: P-384
and ecdsa-with-SHA384 throughout; names chain; signatures chain; issuers are CAs with room in their path
length and may sign certificates; the leaf is none and may sign data; critical extensions other than these two
are refused; every certificate is valid at the time given. Revocation is not looked at (AWS: disable CRL).
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from signatory.errors import IntegrityError, MalformedError

MAX_CERTIFICATES = 9
"""Root to leaf; AWS has five."""

_UNDERSTOOD = frozenset({ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE})


class ChainError(IntegrityError):
    """A rule of the path does not hold; `where` names the certificate: `cabundle[1]`, `certificate`."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where, self.reason = where, message


class ExpiredError(ChainError):
    """A certificate had run out at the time that was asked for."""


def fingerprint(data: bytes) -> bytes:
    """SHA-256 of the DER of a certificate given as DER or as PEM with nothing else certified in it.

    Raises MalformedError.
    """
    try:
        if b"-----BEGIN" not in data:
            x509.load_der_x509_certificate(data)
            return hashlib.sha256(data).digest()
        found = x509.load_pem_x509_certificates(data)
    except (ValueError, UserWarning):
        raise MalformedError("this is no X.509 certificate, neither PEM nor DER") from None
    if len(found) != 1:
        raise MalformedError(f"{len(found)} certificates where one was expected")
    return found[0].fingerprint(SHA256())


def leaf_key(
    certificate: bytes, cabundle: Sequence[bytes], *, root_sha256: bytes, at: datetime
) -> EllipticCurvePublicKey:
    """The key of `certificate`, once it is proved to descend from the root pinned by SHA-256 of its DER.

    `cabundle` is root first. Raises ChainError for a rule that does not hold, MalformedError for bytes that
    are no certificate.
    """
    if not cabundle or hashlib.sha256(cabundle[0]).digest() != root_sha256:
        raise ChainError("cabundle[0]", "is not the pinned root")
    if len(cabundle) + 1 > MAX_CERTIFICATES:
        raise ChainError(
            "cabundle", f"{len(cabundle)} certificates; at most {MAX_CERTIFICATES - 1} are followed"
        )
    names = [*(f"cabundle[{index}]" for index in range(len(cabundle))), "certificate"]
    path = [_Certificate(name, der) for name, der in zip(names, (*cabundle, certificate), strict=True)]
    for index, issuer in enumerate(path[:-1]):
        issuer.check_issuer(below=len(path) - index - 2)
        path[index + 1].check_issued_by(issuer)
    path[-1].check_leaf()
    for each in path:
        each.check_time(at)
    return path[-1].key


class _Certificate:
    """One certificate with what the rules need already taken out of it."""

    def __init__(self, where: str, der: bytes) -> None:
        self.where = where
        try:
            self._read(der)
        # UserWarning: cryptography warns of odd certificates, and a process may turn warnings into errors.
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, UserWarning):
            raise MalformedError(f"{where}: is not the DER of an X.509 certificate") from None
        except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
            raise MalformedError(f"{where}: its extensions cannot be read") from None

    def _read(self, der: bytes) -> None:
        self.certificate = x509.load_der_x509_certificate(der)
        self.extensions = {extension.oid: extension for extension in self.certificate.extensions}
        self.not_before = self.certificate.not_valid_before_utc
        self.not_after = self.certificate.not_valid_after_utc
        key = self.certificate.public_key()
        if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP384R1):
            raise ChainError(self.where, "its key is not of P-384")
        if self.certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
            raise ChainError(self.where, "it is not signed with ecdsa-with-SHA384")
        self.key = key

    def check_issuer(self, *, below: int) -> None:
        """`below` is the number of CA certificates between this one and the leaf."""
        constraints = self._constraints()
        if not constraints.ca:
            raise ChainError(self.where, "is not a CA")
        if constraints.path_length is not None and constraints.path_length < below:
            raise ChainError(
                self.where, f"its path length is {constraints.path_length}, the path has {below} more CAs"
            )
        if not self._usage().key_cert_sign:
            raise ChainError(self.where, "its key usage does not allow signing certificates")

    def check_leaf(self) -> None:
        if self._constraints().ca:
            raise ChainError(self.where, "is a CA")
        usage = self._usage()
        if not usage.digital_signature or usage.key_cert_sign:
            raise ChainError(self.where, "its key usage is not that of one who signs documents")

    def check_issued_by(self, issuer: "_Certificate") -> None:
        try:
            self.certificate.verify_directly_issued_by(issuer.certificate)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ChainError(self.where, f"its issuer is not {issuer.where}") from None
        except InvalidSignature:
            raise ChainError(self.where, f"its signature is not by {issuer.where}") from None

    def check_time(self, at: datetime) -> None:
        if at < self.not_before:
            raise ChainError(
                self.where, f"is valid only from {self.not_before.isoformat()}, later than {at.isoformat()}"
            )
        if at > self.not_after:
            raise ExpiredError(
                self.where, f"expired at {self.not_after.isoformat()}, before {at.isoformat()}"
            )

    def _constraints(self) -> x509.BasicConstraints:
        extension = self.extensions.get(ExtensionOID.BASIC_CONSTRAINTS)
        if (
            extension is None
            or not extension.critical
            or not isinstance(extension.value, x509.BasicConstraints)
        ):
            raise ChainError(self.where, "has no critical basic constraints")
        for oid, each in self.extensions.items():
            if each.critical and oid not in _UNDERSTOOD:
                raise ChainError(self.where, f"has the critical extension {oid.dotted_string}, unknown here")
        return extension.value

    def _usage(self) -> x509.KeyUsage:
        extension = self.extensions.get(ExtensionOID.KEY_USAGE)
        if extension is None or not isinstance(extension.value, x509.KeyUsage):
            raise ChainError(self.where, "has no key usage")
        return extension.value
