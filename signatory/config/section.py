"""What every mapping of the file is built on, and the values that several of them hold."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainValidator, model_validator

from signatory.config.problems import Findings
from signatory.config.problems import Path as Place
from signatory.errors import SignatoryError
from signatory.tezos.keys import PublicKey, PublicKeyHash

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):([0-9]{1,5})")


class Section(BaseModel):
    """A mapping of the file: frozen, unknown keys refused; a known key with nothing after it is absent."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return {} if data is None else data
        return {key: value for key, value in data.items() if value is not None or key not in cls.model_fields}


@dataclass(frozen=True, slots=True)
class HostPort:
    """Where to listen. An empty host means every address of the machine."""

    host: str
    port: int

    @classmethod
    def parse(cls, value: Any) -> "HostPort":
        """Read `HOST:PORT`, `:PORT` or `[IPV6]:PORT`. Raises ValueError.

        Port 0 (any free port) is for tests: it is taken with a loopback host only.
        """
        if isinstance(value, HostPort):
            return value
        match = _HOST_PORT.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError("must be HOST:PORT, such as `127.0.0.1:6732` or `:6732`")
        host, port = match[1].strip("[]"), int(match[2])
        if port > 65535 or (port == 0 and host not in LOOPBACK):
            raise ValueError(f"the port must be from 1 to 65535, not {port}")
        return cls(host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Listener = Annotated[HostPort, PlainValidator(HostPort.parse)]


def _path(value: Any) -> Any:
    """An empty path is the working folder to `pathlib`, which nobody means; no path holds a NUL."""
    if isinstance(value, str) and (not value or "\0" in value):
        raise ValueError("must be a path, and not empty")
    return value


PathText = Annotated[Path, BeforeValidator(_path)]


def _flat(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    if isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            yield from _flat(item, (*place, position))
    else:
        yield place, value


def public_keys(value: Any) -> tuple[PublicKey, ...]:
    """One public key, or lists of them in lists. Raises Findings with every one that cannot be read."""
    keys: list[PublicKey] = []
    bad: list[tuple[Place, str]] = []
    for place, item in _flat(value):
        try:
            keys.append(_public_key(item))
        except (SignatoryError, ValueError) as error:
            bad.append((place, str(error)))
    if bad:
        raise Findings(bad)
    return tuple(dict.fromkeys(keys))


def _public_key(value: Any) -> PublicKey:
    if isinstance(value, PublicKey):
        return value
    if not isinstance(value, str):
        raise ValueError("must be the text of a public key, such as `edpk...`")  # noqa: TRY004  # pydantic's contract
    if value.startswith(("tz1", "tz2", "tz3", "tz4", "tz5")):
        raise ValueError("this is the hash of a public key; the key itself is needed, such as `edpk...`")
    return PublicKey.parse(value)


def _key_hash(value: str) -> str:
    try:
        return PublicKeyHash.parse(value).text
    except SignatoryError as error:
        raise ValueError(f"not a public key hash: {error}") from None


KeyHash = Annotated[str, AfterValidator(_key_hash)]
PublicKeys = Annotated[tuple[PublicKey, ...], PlainValidator(public_keys)]
"""None where the key is absent; an empty list means nobody."""
