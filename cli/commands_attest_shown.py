"""What an attestation document says, as JSON values and as lines for a person."""

import hashlib
from collections.abc import Iterator
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from signatory.nitro.attestation import ZERO, Document, Registers

BYTES = ("public_key", "user_data", "nonce")
_WIDTH = 12


def facts(document: Document) -> dict[str, Any]:
    """JSON values; bytes are lower-case hex, null is absent."""
    return {
        "module_id": document.module_id,
        "timestamp": document.time.isoformat(),
        "timestamp_ms": document.timestamp_ms,
        "digest": document.digest,
        "debug": document.debug,
        "pcrs": {str(index): value.hex() for index, value in sorted(document.pcrs.items())},
        "certificates": [_certificate(der) for der in (*document.cabundle, document.certificate)],
        **{name: None if (value := getattr(document, name)) is None else value.hex() for name in BYTES},
    }


def lines(document: Document) -> Iterator[str]:
    """Everything in it, readable."""
    yield row("module", document.module_id)
    yield row("timestamp", f"{document.time.isoformat()} ({document.timestamp_ms} ms)")
    yield row("digest", document.digest)
    yield from registers(document.pcrs)
    if document.debug:
        yield row("debug", "PCR0, PCR1 or PCR2 is zero or missing: nothing says which code ran")
    count = len(document.cabundle)
    for index, der in enumerate((*document.cabundle, document.certificate)):
        found = _certificate(der)
        yield row("certificate" if index == count else f"cabundle[{index}]", found.pop("subject"))
        yield from (row("", f"{name} {value}") for name, value in found.items())
    for name in BYTES:
        yield row(name, _readable(getattr(document, name)))


def registers(pcrs: Registers) -> Iterator[str]:
    """One line for each that is set, and one that names the others."""
    for index, value in sorted(pcrs.items()):
        if value != ZERO:
            yield row(f"PCR{index}", value.hex())
    if zero := [f"PCR{index}" for index, value in sorted(pcrs.items()) if value == ZERO]:
        yield row("zero", ", ".join(zero))


def row(label: str, text: str) -> str:
    """One line of a report."""
    return f"{label:<{_WIDTH}} {text}"


def _readable(value: bytes | None) -> str:
    if value is None:
        return "absent"
    text = value.decode("ascii", "replace")
    quoted = f" {text!r}" if value and text.isascii() and text.isprintable() else ""
    return f"{len(value)} bytes {value.hex()}{quoted}"


def _certificate(der: bytes) -> dict[str, str]:
    digest = hashlib.sha256(der).hexdigest()
    try:
        found = x509.load_der_x509_certificate(der)
        return {
            "subject": _printable(found.subject.rfc4514_string()),
            "issuer": _printable(found.issuer.rfc4514_string()),
            "not_before": found.not_valid_before_utc.isoformat(),
            "not_after": found.not_valid_after_utc.isoformat(),
            "serial": f"{found.serial_number:x}",
            "sha256": digest,
        }
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, UserWarning):
        return {"subject": "not the DER of an X.509 certificate", "sha256": digest}


def _printable(text: str) -> str:
    """A name that somebody else chose, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
