"""The one settings file of the enclave's program: TOML, measured with the image, checked at the start.

Every key that is unknown, missing or wrong is reported, all of them at once.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enclave_signer.roots import AMAZON, pinned_roots
from signatory.errors import ConfigError, SignatoryError
from signatory.net.vsock import Address
from signatory.nitro.kms import Arn, host_of
from signatory.nitro.sealed import Scheme
from signatory.rpc.wire import LIMIT_AFTER, LIMIT_BEFORE

MAX_FILE = 1024 * 1024
"""Bytes of a settings file or of a file of roots that are read at most."""

DEFAULT_SCHEMES = (Scheme.KMS_GDK, Scheme.KMS_ENVELOPE)
DEFAULT_RELEASE = "unnamed"

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_RELEASE = re.compile(r"[A-Za-z0-9._:+-]{1,64}")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    frame_before: int = LIMIT_BEFORE
    """Longest request before Initialize."""
    frame_after: int = LIMIT_AFTER
    """Longest request after it."""
    read_timeout: float = 10.0
    """From the first byte of a request to its last, for the host to take a reply, and for Initialize."""
    connections: int = 64
    """Sessions at a time; a further connection is closed at once."""
    keys: int = 20_000
    """Keys that one session may hold."""
    kms_timeout: float = 10.0
    """A call to KMS with all its tries and connecting."""
    kms_attempts: int = 4
    """Tries of a call that KMS throttles or fails by itself."""
    kms_connections: int = 8
    """Connections of one session to KMS, and so its calls to KMS at a time; the others wait for one."""
    kms_clock_skew: float = 3600.0
    """How far this clock may be corrected by KMS's."""
    in_flight: int = 64
    """Calls of one session of the extended protocol that may wait for KMS or the NSM at a time."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the image was built to do; nothing in here comes from the parent."""

    kms_keys: tuple[Arn, ...]
    """The only KMS keys that may seal and unseal."""
    endpoint: str | None
    """KMS's host name; None is the public one of the key's region."""
    roots: str
    """PEM of the only roots that TLS to KMS trusts."""
    nsm: str
    """`/dev/nsm`, or `unix:/path` of a software NSM."""
    listen: Address
    proxy: Address
    """The parent's proxy: the only way out."""
    schemes: tuple[Scheme, ...] = DEFAULT_SCHEMES
    """The only schemes that keys are sealed and opened by."""
    reference_protocol: bool = False
    """Whether the reference's protocol is served beside the extended one."""
    release: str = DEFAULT_RELEASE
    """What this image calls itself; nobody need believe it, the registers decide."""
    limits: Limits = field(default_factory=Limits)

    def host(self, key: Arn) -> str:
        """Where KMS is for this key: the name in its certificate."""
        return self.endpoint or host_of(key.region)


def load(path: Path) -> Settings:
    """Read and check the file. Raises ConfigError that lists everything wrong with it."""
    try:
        table = tomllib.loads(_read(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    reader = _Reader(table)
    settings = _settings(reader, path.parent)
    problems = reader.finish()
    if problems or settings is None:
        raise ConfigError(f"{path}: " + "; ".join(problems))
    return settings


def _settings(reader: "_Reader", folder: Path) -> Settings | None:
    keys = reader.take("kms_key_arns", _kms_keys)
    endpoint = reader.take("endpoint", _host, default=None)
    fingerprints = reader.take("tls_roots", _fingerprints, default=AMAZON)
    roots_file = reader.take("tls_roots_file", lambda value: folder / _text(value))
    nsm = reader.take("nsm", _nsm)
    listen, proxy = reader.take("listen", _address), reader.take("proxy", _address)
    schemes = reader.take("schemes", _schemes, default=DEFAULT_SCHEMES)
    reference = reader.take("reference_protocol", _switch, default=False)
    release = reader.take("release", _release, default=DEFAULT_RELEASE)
    limits = _limits(reader)
    if reference and schemes and Scheme.KMS_ENCRYPT not in schemes:
        reader.problems.append(
            "reference_protocol is on and seals by kms-encrypt-v0, which schemes does not list"
        )
    if endpoint and keys and len({key.region for key in keys}) > 1:
        reader.problems.append("endpoint is one host, and kms_key_arns are of several regions")
    roots = None
    if fingerprints and roots_file:
        roots = reader.attempt("tls_roots", lambda: pinned_roots(_read(roots_file), fingerprints))
    if reader.problems or not (keys and roots and nsm and listen and proxy):
        return None
    return Settings(keys, endpoint, roots, nsm, listen, proxy, schemes, reference, release, limits)


def _limits(reader: "_Reader") -> Limits:
    table = reader.take("limits", _table, default={})
    inner = _Reader(table if table is not None else {}, "limits.")
    usual = Limits()
    taken = {
        "frame_before": inner.take("frame_before", _between(64, LIMIT_AFTER), default=usual.frame_before),
        "frame_after": inner.take("frame_after", _between(4096, 16 * LIMIT_AFTER), default=usual.frame_after),
        "read_timeout": inner.take("read_timeout", _seconds, default=usual.read_timeout),
        "connections": inner.take("connections", _between(1, 4096), default=usual.connections),
        "keys": inner.take("keys", _between(1, 1_000_000), default=usual.keys),
        "kms_timeout": inner.take("kms_timeout", _seconds, default=usual.kms_timeout),
        "kms_attempts": inner.take("kms_attempts", _between(1, 10), default=usual.kms_attempts),
        "kms_connections": inner.take("kms_connections", _between(1, 64), default=usual.kms_connections),
        "kms_clock_skew": inner.take("kms_clock_skew", _skew, default=usual.kms_clock_skew),
        "in_flight": inner.take("in_flight", _between(1, 4096), default=usual.in_flight),
    }
    reader.problems += inner.finish()
    return usual if any(value is None for value in taken.values()) else Limits(**taken)


class _Reader:
    """A table whose keys are taken one by one; what goes wrong is collected."""

    def __init__(self, table: Mapping[str, Any], prefix: str = "") -> None:
        self._left = dict(table)
        self._known: list[str] = []
        self._prefix = prefix
        self.problems: list[str] = []

    def take(self, name: str, parse: Callable[[Any], Any], **default: Any) -> Any:
        """The parsed value, the default, or None after noting what is wrong."""
        self._known.append(name)
        if name in self._left:
            value = self._left.pop(name)
            return self.attempt(name, lambda: parse(value))
        if "default" not in default:
            self.problems.append(f"{self._prefix}{name} is missing")
        return default.get("default")

    def attempt(self, name: str, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except SignatoryError as error:
            self.problems.append(f"{self._prefix}{name}: {error.message}")
            return None

    def finish(self) -> list[str]:
        known = ", ".join(self._known)
        unknown = [f"{self._prefix}{name} is not a setting (there are: {known})" for name in self._left]
        return self.problems + unknown


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise ConfigError(f"{path} is longer than {MAX_FILE} bytes")
    return data


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ConfigError("a text is needed")
    return value


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not value:
        raise ConfigError("a list with at least one text is needed")
    texts = [_text(each) for each in value]
    if len(set(texts)) < len(texts):
        raise ConfigError("the same text stands there twice")
    return texts


def _table(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ConfigError("a table is needed")
    return value


def _kms_keys(value: Any) -> tuple[Arn, ...]:
    return tuple(Arn.parse(text) for text in _texts(value))


def _host(value: Any) -> str:
    if not _HOST.fullmatch(_text(value)):
        raise ConfigError(f"{value!r} is not a host name in lower case, without a port")
    return _text(value)


def _fingerprints(value: Any) -> tuple[str, ...]:
    texts = _texts(value)
    if not all(_FINGERPRINT.fullmatch(text) for text in texts):
        raise ConfigError("each is the SHA-256 of a certificate's DER: 64 lower-case hex digits")
    return tuple(texts)


def _nsm(value: Any) -> str:
    if _text(value) != "/dev/nsm" and not (value.startswith("unix:/") and len(value) > len("unix:/")):
        raise ConfigError(f"{value!r} is neither /dev/nsm nor unix:/path")
    return _text(value)


def _address(value: Any) -> Address:
    return Address.parse(_text(value))


def _schemes(value: Any) -> tuple[Scheme, ...]:
    known = {scheme.value: scheme for scheme in Scheme}
    for text in _texts(value):
        if text not in known:
            raise ConfigError(f"{text!r} is not a scheme (there are: {', '.join(known)})")
    return tuple(known[text] for text in value)


def _switch(value: Any) -> bool:
    if _text(value) not in ("on", "off"):
        raise ConfigError(f"{value!r} is neither on nor off")
    return bool(value == "on")


def _release(value: Any) -> str:
    if not _RELEASE.fullmatch(_text(value)):
        raise ConfigError("1 to 64 letters, digits and . _ : + - are needed")
    return _text(value)


def _between(lowest: int, highest: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise ConfigError(f"an integer from {lowest} to {highest} is needed")
        return value

    return parse


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value <= 600:
        raise ConfigError("seconds above 0, at most 600, are needed")
    return float(value)


def _skew(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 86_400:
        raise ConfigError("seconds from 0 to 86400 are needed")
    return float(value)
