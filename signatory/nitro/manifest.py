"""Release manifests: the registers of the images that we released, since when, and which were called back.

A manifest is a JSON object, of one image or of several under `releases`; the registers stand in it or under
`Measurements`, as `nitro-cli build-enclave` writes them. It is not signed: whoever can write the file decides
what is ours. Source: enclave-kms-attestation §10.4; docs/attestation.md has the fields.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from signatory.errors import ConfigError, MalformedError
from signatory.nitro import attestation
from signatory.nitro.attestation import (
    AWS_ROOT_SHA256,
    IMAGE_PCRS,
    PCR_LENGTH,
    ZERO,
    AttestationError,
    Document,
    Registers,
)
from signatory.nitro.texts import hex_of, json_object, shown

MAX_RELEASES = 1000

_SIGNER = 8
"""The register of the certificate that signed the image; zero in an unsigned one."""

_REGISTER = re.compile(r"pcr[0-9]+")
_LIMITING = re.compile(r"pcr|not_?before|not_?after|revo|expir|valid|root|partition|releases|measurement")
"""How a field begins that could narrow what is allowed: one that is unknown here is never passed over."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d))?", re.ASCII)
_FIRST_MS = 10**11  # spring of 1973; smaller numbers are seconds by mistake
_LAST_MS = 253_402_300_799_999
_PARTITION = re.compile(r"aws(-[a-z]+)*")


@dataclass(frozen=True, slots=True)
class Revocation:
    """An image was called back. `at` None means that it never was any good."""

    at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """One release."""

    pcrs: Registers
    """PCR0, PCR1 and PCR2, and PCR8 where the image is signed; 48 bytes each, none of them zero."""
    version: str | None = None
    commit: str | None = None
    eif_sha256: bytes | None = None
    not_before: datetime | None = None
    revoked: Revocation | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.version or self.commit or f"with PCR0 {self.pcrs[0].hex()[:16]}..."

    def check_time(self, at: datetime) -> None:
        """Raises AttestationError unless the image was good at that time."""
        if self.not_before is not None and at < self.not_before:
            raise AttestationError(
                "not_before",
                f"the release {self.name} is good from {self.not_before.isoformat()}, "
                f"the document is of {at.isoformat()}",
            )
        revoked = self.revoked
        if revoked is not None and (revoked.at is None or at >= revoked.at):
            since = "" if revoked.at is None else f" at {revoked.at.isoformat()}"
            why = "" if revoked.reason is None else f": {revoked.reason}"
            raise AttestationError("revoked", f"the release {self.name} was called back{since}{why}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `load` read."""

    images: tuple[Image, ...]
    root_sha256: bytes | None = None
    """SHA-256 of the DER of the root that signs; None where the manifest names none."""
    partition: str | None = None
    """The part of AWS where the images run: `aws`, `aws-cn`, ..."""

    def match(self, document: Document) -> Image:
        """The image that a document, verified already, is of, if it was good at the document's time.

        Raises AttestationError: the register that is of no image, `not_before`, or `revoked`.
        """
        attestation.check_pcrs(document.pcrs, [image.pcrs for image in self.images])
        image = next(image for image in self.images if image.pcrs.items() <= document.pcrs.items())
        image.check_time(document.time)
        return image

    def registers(self, at: datetime) -> tuple[Registers, ...]:
        """Those of the images that are good at that time, for `attestation.verify`.

        Raises ConfigError where there is none: an empty list would pin nothing.
        """
        if good := tuple(image.pcrs for image in self.images if _is_good(image, at)):
            return good
        raise ConfigError(f"no release of the manifest is good at {at.isoformat()}")


def pinned_root(manifest: Manifest | None, given: bytes | None = None) -> bytes:
    """The fingerprint that holds: the one given, the manifest's, AWS's, in this order.

    Raises ConfigError where one is given and the manifest names another.
    """
    named = None if manifest is None else manifest.root_sha256
    if given is not None and named is not None and given != named:
        raise ConfigError("the manifest names another root than the one that was given")
    return given or named or AWS_ROOT_SHA256


def load(data: bytes) -> Manifest:
    """Read a manifest. Raises MalformedError that names the field, also for registers that are zero."""
    try:
        return _manifest(_lowered(json_object(data), ""))
    except MalformedError as error:
        raise MalformedError(f"release manifest: {error.message}", hint=error.hint) from None


def _is_good(image: Image, at: datetime) -> bool:
    try:
        image.check_time(at)
    except AttestationError:
        return False
    return True


def _manifest(found: dict[str, Any]) -> Manifest:
    partition, root = _partition(found.pop("partition", None)), found.pop("root_sha256", None)
    fingerprint = _root(root, partition)
    releases = found.pop("releases", None)
    if releases is None:
        return Manifest((_image(found, ""),), fingerprint, partition)
    if not isinstance(releases, list) or not 1 <= len(releases) <= MAX_RELEASES:
        raise MalformedError(f"releases: an array of 1 to {MAX_RELEASES} images was expected")
    _check_rest(found, "")
    images: list[Image] = []
    for index, entry in enumerate(releases):
        where = f"releases[{index}]"
        if not isinstance(entry, dict):
            raise MalformedError(f"{where}: an object was expected")
        images.append(_image(_lowered(entry, f"{where}."), f"{where}."))
        if any(_overlap(images[-1].pcrs, earlier.pcrs) for earlier in images[:-1]):
            raise MalformedError(f"{where}: an earlier entry is of the same image")
    return Manifest(tuple(images), fingerprint, partition)


def _overlap(one: Registers, other: Registers) -> bool:
    """Whether a document could be of both: the registers that both have are equal."""
    return all(one[index] == other[index] for index in one.keys() & other.keys())


def _lowered(found: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The same with all names in lower case and without nulls; null is absent."""
    lowered: dict[str, Any] = {}
    for name, value in found.items():
        if name.lower() in lowered:
            raise MalformedError(f"{where}{shown(name)}: stands twice, in different cases of letters")
        lowered[name.lower()] = value
    return {name: value for name, value in lowered.items() if value is not None}


def _image(found: dict[str, Any], where: str) -> Image:
    image = Image(
        pcrs=_registers(found, where),
        version=_text(found.pop("version", None), f"{where}version"),
        commit=_text(found.pop("commit", None), f"{where}commit"),
        eif_sha256=_sha256(found.pop("eif_sha256", None), f"{where}eif_sha256"),
        not_before=_time(found.pop("not_before", None), f"{where}not_before"),
        revoked=_revocation(found.pop("revoked", None), f"{where}revoked"),
    )
    _check_rest(found, where)
    return image


def _registers(found: dict[str, Any], where: str) -> Registers:
    """Takes the registers out of `found`."""
    source = {name: found.pop(name) for name in list(found) if _REGISTER.fullmatch(name)}
    if "measurements" in found:
        if source:
            raise MalformedError(
                f"{where}{next(iter(source)).upper()}: stands beside Measurements, not in it"
            )
        inner = found.pop("measurements")
        if not isinstance(inner, dict):
            raise MalformedError(f"{where}Measurements: an object was expected")
        where = f"{where}Measurements."
        source = _lowered(inner, where)
        source.pop("hashalgorithm", None)
    registers = {index: _register(source, index, where) for index in IMAGE_PCRS}
    if f"pcr{_SIGNER}" in source:
        registers[_SIGNER] = _register(source, _SIGNER, where)
    if source:
        raise MalformedError(
            f"{where}{shown(next(iter(source)))}: a manifest has PCR0, PCR1, PCR2 and PCR8",
            hint="other registers belong to a deployment; pin them with --pcr",
        )
    return registers


def _register(source: dict[str, Any], index: int, where: str) -> bytes:
    if f"pcr{index}" not in source:
        raise MalformedError(f"{where}PCR{index}: is missing")
    value = hex_of(source.pop(f"pcr{index}"), f"{where}PCR{index}", PCR_LENGTH)
    if value == ZERO:
        hint = (
            "leave it out where the image is unsigned" if index == _SIGNER else "zeros are of a debug enclave"
        )
        raise MalformedError(f"{where}PCR{index}: is zero", hint=hint)
    return value


def _check_rest(found: Mapping[str, Any], where: str) -> None:
    for name in found:
        if _LIMITING.match(name):
            raise MalformedError(
                f"{where}{shown(name)}: is not a field of this release, or not of this place"
            )


def _text(value: Any, name: str) -> str | None:
    if value is None or (isinstance(value, str) and 1 <= len(value) <= 128 and value.isprintable()):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9:
        return str(value)
    raise MalformedError(f"{name}: a printable text of 1 to 128 characters was expected")


def _sha256(value: Any, name: str) -> bytes | None:
    return None if value is None else hex_of(value, name, 32)


def _time(value: Any, name: str) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and _FIRST_MS <= value <= _LAST_MS:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=value)
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise MalformedError(
        f"{name}: a time such as 2026-11-21T09:00:00Z was expected, or milliseconds since 1970"
    )


def _revocation(value: Any, name: str) -> Revocation | None:
    if value is None or value is False:
        return None
    if value is True:
        return Revocation()
    if not isinstance(value, dict):
        return Revocation(_time(value, name))
    if unknown := value.keys() - {"at", "reason"}:
        raise MalformedError(f"{name}.{shown(min(unknown))}: is unknown; it has `at` and `reason`")
    return Revocation(_time(value.get("at"), f"{name}.at"), _text(value.get("reason"), f"{name}.reason"))


def _partition(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and _PARTITION.fullmatch(value)):
        return value
    raise MalformedError("partition: aws, aws-cn, aws-us-gov or another partition of AWS was expected")


def _root(value: Any, partition: str | None) -> bytes | None:
    aws = partition == "aws"
    if value is None:
        if partition is not None and not aws:
            raise MalformedError(f"root_sha256: is missing; that of {partition} is not built in")
        return AWS_ROOT_SHA256 if aws else None
    found = hex_of(value.replace(":", "") if isinstance(value, str) else value, "root_sha256", 32)
    if aws and found != AWS_ROOT_SHA256:
        raise MalformedError("root_sha256: is not that of the partition aws")
    return found
