"""The configuration file of `approve-list-svc`: Signatory's keys, judged as strictly as our own file."""

import ipaddress
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainValidator, SecretStr, model_validator

from cli import asking
from signatory.config.check import check
from signatory.config.document import examine
from signatory.config.problems import ConfigProblemsError, Findings, Problem
from signatory.config.section import LOOPBACK, HostPort, Listener, Section
from signatory.crypto.keypair import NAMES, KeyPair
from signatory.errors import ConfigError, MalformedError
from signatory.tezos import secrets
from signatory.tezos.keys import TAGS

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_ADDRESS = HostPort("127.0.0.1", 7777)

_WANTED = "must be an address such as `192.0.2.1` or a network such as `192.0.2.0/24`, in quotes"


def plain(address: Address) -> Address:
    """The address itself where IPv6 only wraps one of IPv4, as sockets for both families show it."""
    return getattr(address, "ipv4_mapped", None) or address


def network(text: Any) -> Network:
    """Read an address or a network in CIDR form; bits of the host may be set. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError(_WANTED)  # noqa: TRY004  # pydantic's contract
    if "/" not in text:
        return ipaddress.ip_network(plain(ipaddress.ip_address(text)))
    found = ipaddress.ip_network(text, strict=False)
    wrapped = getattr(found.network_address, "ipv4_mapped", None)
    if wrapped is None or found.prefixlen < 96:
        return found
    return ipaddress.ip_network((wrapped, found.prefixlen - 96))


def _networks(value: Any) -> tuple[Network, ...]:
    if not isinstance(value, list):
        raise ValueError("must be a list of addresses and networks")  # noqa: TRY004  # pydantic's contract
    found: list[Network] = []
    bad: list[tuple[tuple[int], str]] = []
    for place, text in enumerate(value):
        try:
            found.append(network(text))
        except ValueError:
            bad.append(
                ((place,), "must be an address such as `192.0.2.1` or a network such as `192.0.2.0/24`")
            )
    if bad:
        raise Findings(bad)
    return tuple(found)


class ApprovalFile(Section):
    """What may stand in the file."""

    address: Listener = DEFAULT_ADDRESS
    private_key: SecretStr | None = None
    private_key_file: Path | None = None
    allowed: Annotated[tuple[Network, ...], PlainValidator(_networks)] = Field((), alias="list")

    @model_validator(mode="after")
    def _one_key(self) -> "ApprovalFile":
        if self.private_key is not None and self.private_key_file is not None:
            raise ValueError("private_key and private_key_file exclude each other")
        return self


@dataclass(frozen=True, slots=True)
class Approval:
    """What the service runs with."""

    address: HostPort
    allowed: tuple[Network, ...]
    key: KeyPair | None
    """Signs the answers; None for answers that nobody signs."""
    warnings: tuple[str, ...] = ()

    def allows(self, source: Address | None) -> bool:
        """Whether requests from this address may be signed. An unknown one never is."""
        return source is not None and any(plain(source) in one for one in self.allowed)


def load(path: Path) -> Approval:
    """Read the file and the key it names. Raises ConfigError with everything that is wrong."""
    data = asking.read_file(path, "the configuration")
    try:
        parsed = examine(data)
    except ConfigProblemsError as error:
        raise ConfigProblemsError(error.problems, source=str(path)) from None
    checked = check(ApprovalFile, parsed.value)
    problems = [*parsed.problems, *checked.problems]
    if problems or checked.model is None:
        placed = [Problem(one.path, one.text, one.line or parsed.lines.get(one.path, 0)) for one in problems]
        raise ConfigProblemsError(placed, source=str(path))
    return _approval(checked.model, path)


def _approval(found: ApprovalFile, path: Path) -> Approval:
    key, warnings, holder = None, [], None
    if found.private_key is not None:
        key, holder = _key(found.private_key.get_secret_value().encode(), "private_key"), path
    elif found.private_key_file is not None:
        holder = found.private_key_file
        key = _key(asking.read_file(holder, "the private key"), str(holder))
    if holder is not None and _readable_by_all(holder):
        warnings.append(f"{holder} holds a secret and can be read by everybody on this machine (chmod o-r)")
    if not found.allowed:
        warnings.append("the list is empty: every request is refused")
    if found.address.host not in LOOPBACK:
        warnings.append(
            f"{found.address} is open to other machines: whoever reaches it gets answers, unencrypted"
        )
    return Approval(found.address, found.allowed, key, tuple(warnings))


def _key(data: bytes, where: str) -> KeyPair:
    try:
        key = secrets.parse(data)
    except MalformedError as error:
        raise ConfigError(f"{where}: {error}", hint=error.hint) from None
    if key.type not in TAGS:
        raise ConfigError(f"{where}: {NAMES[key.type]} keys have no Tezos address to sign answers under")
    return key


def _readable_by_all(path: Path) -> bool:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - follows links, as reading did
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & stat.S_IROTH)
