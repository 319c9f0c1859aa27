"""Nitro attestation documents: what they say (`parse`), whether it is true (`verify`), how one is written.

`verify` never trusts the root in the document and never takes a register from it as expected. Sources: AWS,
"Verifying the root of trust" and "Attestation process"; genuine documents of 2022 to 2026, which write absent
fields as null and use up to 1,024 bytes of user_data and nonce.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from signatory.errors import ConfigError, IntegrityError, MalformedError
from signatory.nitro import certchain, cose, strict

AWS_ROOT_SHA256 = bytes.fromhex("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b")
"""SHA-256 of the DER of `CN=aws.nitro-enclaves`, the root of the commercial partition."""

MAX_DOCUMENT = 32768
"""Bytes; genuine ones have 4,400 to 7,600, and the device's reply has room for 12,288."""

MAX_FIELD = 1024
MAX_SKEW = timedelta(minutes=5)
PCR_COUNT = 32
PCR_LENGTH = 48
ZERO = bytes(PCR_LENGTH)

IMAGE_PCRS = (0, 1, 2)
"""Of a debug enclave these are zero; the others may still be set."""

_FIELDS = ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")
_OPTIONAL = ("public_key", "user_data", "nonce")
_LAST_MS = 253_402_300_799_999  # the end of year 9999, where datetime ends

Registers = Mapping[int, bytes]


class AttestationError(IntegrityError):
    """The document is well-formed and not good; `field` names what is wrong in it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"attestation document: {field}: {message}")
        self.field = field


class ExpiredError(AttestationError):
    """A certificate of the document had run out at the time that was asked for."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a document says. `parse` does not check that it is true; `verify` does."""

    module_id: str
    timestamp_ms: int
    """Milliseconds since 1970."""
    pcrs: Registers
    certificate: bytes
    """DER of the certificate whose key signed the document."""
    cabundle: tuple[bytes, ...]
    """DER, root first."""
    public_key: bytes | None = None
    user_data: bytes | None = None
    nonce: bytes | None = None
    digest: str = "SHA384"

    @property
    def time(self) -> datetime:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=self.timestamp_ms)

    @property
    def unmeasured(self) -> int | None:
        """The first of PCR0, PCR1 and PCR2 that is zero or missing, None where none is."""
        return next((index for index in IMAGE_PCRS if self.pcrs.get(index, ZERO) == ZERO), None)

    @property
    def debug(self) -> bool:
        """Whether one of PCR0, PCR1 and PCR2 is zero or missing: then nothing says which code ran."""
        return self.unmeasured is not None


def parse(data: bytes) -> Document:
    """Read a document, tagged or not. Raises MalformedError that names the field."""
    return _read(data)[1]


def verify(  # noqa: PLR0913  each argument is one thing to expect
    data: bytes,
    *,
    root_sha256: bytes = AWS_ROOT_SHA256,
    at: datetime | None = None,
    pcrs: Registers | Sequence[Registers] | None = None,
    nonce: bytes | None = None,
    user_data: bytes | None = None,
    public_key: bytes | None = None,
    allow_debug: bool = False,
) -> Document:
    """Read a document and prove it, down from the root that is pinned by SHA-256 of its DER.

    `at` is when its certificates must be valid, with a zone; None means at the document's own time, which is
    right for stored ones. `pcrs` is one image's registers or those of several, of which one must match in
    all; None pins nothing. What is None of the others is not looked at. A zero PCR8 is that of an unsigned
    image, and refused where PCR8 is pinned (docs/adr/0013).

    Raises MalformedError, AttestationError (one cause, its field named), and ConfigError for `pcrs` that
    would pin nothing or a debug image.
    """
    images = _images(pcrs, allow_debug=allow_debug)
    message, document = _read(data)
    try:
        key = certchain.leaf_key(
            document.certificate, document.cabundle, root_sha256=root_sha256, at=at or document.time
        )
    except MalformedError as error:
        raise MalformedError(f"attestation document: {error}") from None
    except certchain.ChainError as error:
        family = ExpiredError if isinstance(error, certchain.ExpiredError) else AttestationError
        raise family(error.where, error.reason) from None
    try:
        cose.verify1(message, key)
    except IntegrityError:
        raise AttestationError("signature", "is not by the key of the certificate") from None
    if document.unmeasured is not None and not allow_debug:
        raise AttestationError(f"PCR{document.unmeasured}", "is zero or missing: a debug enclave")
    if images is not None:
        check_pcrs(document.pcrs, images)
    expected = {"nonce": nonce, "user_data": user_data, "public_key": public_key}
    for field, value in expected.items():
        if value is not None and getattr(document, field) != value:
            raise AttestationError(field, "is not the expected one")
    return document


def check_age(document: Document, now: datetime, max_age: timedelta = MAX_SKEW) -> None:
    """Raises AttestationError unless the document was made within `max_age` of `now`, before or after."""
    if abs(document.time - now) > max_age:
        raise AttestationError("timestamp", f"{document.time.isoformat()} is too far from {now.isoformat()}")


def check_pcrs(registers: Registers, images: Sequence[Registers]) -> None:
    """Raises AttestationError, the register named, unless one of the images has all its values here."""
    if any(all(registers.get(index) == value for index, value in image.items()) for image in images):
        return
    for index in sorted({index for image in images for index in image}):
        value = registers.get(index)
        if value is None:
            raise AttestationError(f"PCR{index}", "is missing")
        if all(image.get(index, value) != value for image in images):
            what = "zero" if value == ZERO else value.hex()
            raise AttestationError(f"PCR{index}", f"{what} is of no allowed image")
    raise AttestationError("pcrs", "each is of some allowed image, but no image has them all")


def encode_payload(document: Document) -> bytes:
    """The payload for cose.sign1, as the NSM writes it: definite, in its order, absent fields as null."""
    return strict.encode(
        {
            "module_id": document.module_id,
            "digest": document.digest,
            "timestamp": document.timestamp_ms,
            "pcrs": dict(sorted(document.pcrs.items())),
            "certificate": document.certificate,
            "cabundle": list(document.cabundle),
            "public_key": document.public_key,
            "user_data": document.user_data,
            "nonce": document.nonce,
        }
    )


def _read(data: bytes) -> tuple[cose.Sign1, Document]:
    if len(data) > MAX_DOCUMENT:
        raise MalformedError(f"attestation document: {len(data)} bytes; at most {MAX_DOCUMENT} are read")
    try:
        message = cose.parse1(data)
        payload = strict.decode_map(message.payload)
        document = _document(payload)
        _check_form(message.payload, strict.encode(payload))
    except MalformedError as error:
        raise MalformedError(f"attestation document: {error}") from None
    return message, document


def _check_form(payload: bytes, shortest: bytes) -> None:
    """The outer map may be definite or indefinite; nothing else in a document has two forms."""
    if payload not in (shortest, b"\xbf" + shortest[1:] + b"\xff"):
        raise MalformedError("CBOR: the payload is not in its shortest form")


def _document(payload: Mapping[str | int, Any]) -> Document:
    for name in payload:
        if name not in _FIELDS and name not in _OPTIONAL:
            raise MalformedError(f"the field {str(name)[:32]!r} is unknown")
    for name in _FIELDS:
        if payload.get(name) is None:
            raise MalformedError(f"{name}: is missing")
    if payload["digest"] != "SHA384":
        raise MalformedError("digest: is not SHA384")
    return Document(
        module_id=_module_id(payload["module_id"]),
        timestamp_ms=_timestamp(payload["timestamp"]),
        pcrs=_pcrs(payload["pcrs"]),
        certificate=_bytes("certificate", payload["certificate"], least=1),
        cabundle=_cabundle(payload["cabundle"]),
        public_key=_optional("public_key", payload, least=1),
        user_data=_optional("user_data", payload),
        nonce=_optional("nonce", payload),
    )


def _module_id(value: Any) -> str:
    if isinstance(value, str) and 1 <= len(value) <= 256 and value.isascii() and value.isprintable():
        return value
    raise MalformedError("module_id: a printable text of 1 to 256 characters was expected")


def _timestamp(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LAST_MS:
        return value
    raise MalformedError("timestamp: milliseconds since 1970 were expected")


def _pcrs(value: Any) -> Registers:
    if not isinstance(value, dict) or not 1 <= len(value) <= PCR_COUNT:
        raise MalformedError(f"pcrs: a map of 1 to {PCR_COUNT} registers was expected")
    return dict(_register(index, data) for index, data in value.items())


def _register(index: Any, data: Any) -> tuple[int, bytes]:
    if not isinstance(index, int) or not 0 <= index < PCR_COUNT:
        raise MalformedError(f"pcrs: an index from 0 to {PCR_COUNT - 1} was expected")
    if not isinstance(data, bytes) or len(data) != PCR_LENGTH:
        raise MalformedError(f"pcrs: PCR{index} is not a byte string of {PCR_LENGTH}, the length of SHA384")
    return index, data


def _cabundle(value: Any) -> tuple[bytes, ...]:
    if not isinstance(value, list) or not value:
        raise MalformedError("cabundle: an array of certificates was expected")
    return tuple(_bytes(f"cabundle[{index}]", item, least=1) for index, item in enumerate(value))


def _optional(name: str, payload: Mapping[str | int, Any], *, least: int = 0) -> bytes | None:
    value = payload.get(name)
    return None if value is None else _bytes(name, value, least=least)


def _bytes(name: str, value: Any, *, least: int) -> bytes:
    if isinstance(value, bytes) and least <= len(value) <= MAX_FIELD:
        return value
    raise MalformedError(f"{name}: a byte string of {least} to {MAX_FIELD} was expected")


def _images(pcrs: Registers | Sequence[Registers] | None, *, allow_debug: bool) -> Sequence[Registers] | None:
    if pcrs is None:
        return None
    images = [pcrs] if isinstance(pcrs, Mapping) else list(pcrs)
    if not images or not all(images):
        raise ConfigError(
            "the list of allowed registers is empty", hint="name PCR0, PCR1 and PCR2 of an image"
        )
    for index, value in (item for image in images for item in image.items()):
        if not 0 <= index < PCR_COUNT or len(value) != PCR_LENGTH:
            raise ConfigError(f"PCR{index}: expected an index from 0 to 31 and a value of {PCR_LENGTH} bytes")
        if value == ZERO and not allow_debug:
            raise ConfigError(f"PCR{index}: zeros allow any debug enclave", hint="measure the image again")
    return images
