"""What may stand in the configuration file, and its defaults. Signatory's keys, plus those marked as ours."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    field_validator,
    model_validator,
)

from signatory.config.kinds import unknown_operations, unknown_requests
from signatory.config.problems import Findings, shown, suggestion
from signatory.config.problems import Path as Place
from signatory.errors import SignatoryError
from signatory.tezos.base58 import decode
from signatory.tezos.keys import PublicKey, PublicKeyHash

DEFAULT_BASE_DIR = Path("/var/lib/signatory")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):([0-9]{1,5})")
_WATERMARKS = ("file", "mem")
_FOREIGN_WATERMARKS = {"aws", "dynamodb", "gcp"}


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

Listener = Annotated[HostPort, PlainValidator(HostPort.parse)]


def _not_yet(value: Any) -> None:
    if value is not None:
        raise ValueError("not available in this version; remove it")


NotYet = Annotated[None, PlainValidator(_not_yet)]
"""A key of Signatory's that we know and cannot honour: refused, never ignored."""


class ServerConfig(Section):
    """Listeners and who may talk to them."""

    address: Listener = HostPort("", 6732)
    utility_address: Listener = HostPort("", 9583)
    authorized_keys: PublicKeys | None = None
    """None: anybody may ask. Empty: nobody may."""
    allow_list_known_keys: bool = False
    """Ours: answer `/known_keys`."""
    refuse_origin: bool = False
    """Ours: refuse requests with an `Origin` header, that is, from web pages."""
    jwt: NotYet = None


class VaultConfig(Section):
    """One entry under `vaults:`. `config` is the driver's to judge."""

    driver: str
    config: Any = Field(None, repr=False)


class WatermarkConfig(Section):
    """Where the marks are kept."""

    driver: str = "file"
    config: "NoSettings | None" = None

    @field_validator("driver")
    @classmethod
    def _known(cls, value: str) -> str:
        if value in _WATERMARKS:
            return value
        if value in _FOREIGN_WATERMARKS:
            raise ValueError(
                f"the watermark driver `{value}` is not available in this version; use file or mem"
            )
        raise ValueError(f"there is no watermark driver `{shown(value)}`{suggestion(value, _WATERMARKS)}")


class NoSettings(Section):
    """A block that has no keys."""


class KeyConfig(Section):
    """What one key may sign. `{}` allows nothing; nothing at all means the default policy."""

    allow: dict[str, Any] | None = None
    allowed_operations: tuple[str, ...] | None = None
    allowed_kinds: tuple[str, ...] | None = None
    allowed_chains: tuple[str, ...] | None = None
    allow_proof_of_possession: bool = False
    log_payloads: bool = False
    authorized_keys: PublicKeys | None = None
    vault: str | None = None
    jwt_users: NotYet = None

    @field_validator("allow")
    @classmethod
    def _known_allow(cls, value: dict[str, Any]) -> dict[str, Any]:
        found = [((kind,), text) for kind, text in unknown_requests(value, "allow")]
        generic = value.get("generic")
        if generic is None:
            generic = []
        if not isinstance(generic, list) or not all(isinstance(one, str) for one in generic):
            found.append((("generic",), "takes a list of operation kinds"))
        else:
            found += [(("generic",), text) for _, text in unknown_operations(generic, "allow.generic")]
        if found:
            raise Findings(found)
        return value

    @field_validator("allowed_operations")
    @classmethod
    def _known_requests(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if found := unknown_requests(value, "allowed_operations"):
            raise Findings(((), text) for _, text in found)
        return value

    @field_validator("allowed_kinds")
    @classmethod
    def _known_operations(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if found := unknown_operations(value, "allowed_kinds"):
            raise Findings(((), text) for _, text in found)
        return value

    @field_validator("allowed_chains")
    @classmethod
    def _chains(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        bad = [(place, text) for place, text in enumerate(value) if not _is_chain(text)]
        if bad:
            raise Findings(
                ((place,), f"`{shown(text)}` is not a chain id (`NetX...`)") for place, text in bad
            )
        return value


def _is_chain(text: str) -> bool:
    try:
        return decode(text)[0].name == "Net"
    except SignatoryError:
        return False


class Config(Section):
    """The whole file."""

    base_dir: Path = DEFAULT_BASE_DIR
    server: ServerConfig = ServerConfig()
    vaults: dict[str, VaultConfig] = {}
    watermark: WatermarkConfig = WatermarkConfig()
    policy_hook: NotYet = None
    tezos: dict[KeyHash, KeyConfig | None] = {}

    _warnings: tuple[str, ...] = PrivateAttr(())
    _source: str = PrivateAttr("")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the operator should know, for the caller to log: unknown keys let pass, deprecated forms."""
        return self._warnings

    @property
    def source(self) -> str:
        """The file this came from, or empty."""
        return self._source

    @field_validator("vaults")
    @classmethod
    def _names(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "" in value:
            raise ValueError("a vault needs a name")
        return value
