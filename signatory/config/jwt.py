"""The `server.jwt:` section: users who log in with a password. Source: signatory-compat §1.7."""

import re
from collections.abc import Iterator
from datetime import datetime

from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError
from pydantic import Field, SecretStr, field_validator

from signatory.config.problems import Findings, shown
from signatory.config.section import LOOPBACK, HostPort, Section
from signatory.jwt import DEFAULT_LIFETIME, MAX_LIFETIME, Credentials, User, weakness

_MOMENT = re.compile(r"[0-9]{4}(-[0-9]{2}){2} [0-9]{2}(:[0-9]{2}){2}")
_HEADER = re.compile(r"(?! )[^\x00-\x1f\x7f]+(?<! )")
"""What a header can carry: spaces around it are lost, controls never arrive."""

_LIFETIME = Field(DEFAULT_LIFETIME, ge=0, le=MAX_LIFETIME, description="minutes; 0 means 60")


class NewCredentials(Section):
    """What takes over from the present credentials of a user."""

    password: SecretStr
    secret: SecretStr
    jwt_exp: int = _LIFETIME


class JwtUserConfig(Section):
    """One user."""

    password: SecretStr
    secret: SecretStr
    jwt_exp: int = _LIFETIME
    old_cred_exp: str = ""
    """`YYYY-MM-DD hh:mm:ss` UTC: when `new_data` takes over. Empty: it has."""
    new_data: NewCredentials | None = None


class JwtConfig(Section):
    """Users by name."""

    users: dict[str, JwtUserConfig] = Field({}, repr=False)

    @field_validator("users")
    @classmethod
    def _strong(cls, value: dict[str, JwtUserConfig]) -> dict[str, JwtUserConfig]:
        found = [((name,), text) for name, user in value.items() for text in _problems(name, user)]
        if found:
            raise Findings(found)
        return value


def users_of(config: JwtConfig) -> dict[str, User]:
    """The users, by name, as the rest knows them."""
    return {
        name: User(
            name,
            _credentials(user),
            None if user.new_data is None else _credentials(user.new_data),
            _moment(user.old_cred_exp) if user.old_cred_exp else None,
        )
        for name, user in config.users.items()
    }


def login_advice(config: JwtConfig, address: HostPort, *, tls: bool) -> Iterator[str]:
    """What the operator should know about logins on this listener."""
    if not tls and address.host not in LOOPBACK:
        yield (
            "server.jwt: passwords and tokens cross the network in the clear: "
            f"{address} is not on loopback and there is no `server.tls`; put a proxy with TLS in front of it"
        )
    for name, user in config.users.items():
        if user.old_cred_exp and user.new_data is None:
            yield f"server.jwt.users.{shown(name)}: `old_cred_exp` without `new_data` has no effect"


def _problems(name: str, user: JwtUserConfig) -> Iterator[str]:
    who = shown(name)
    if not _HEADER.fullmatch(name):
        yield "the name of a user must be one that a header can carry"
    if text := _unfit(user):
        yield f"JWT: config validation failed for user {who}: {text}"
    if user.old_cred_exp and _moment(user.old_cred_exp) is None:
        yield (
            f"JWT: invalid old_cred_exp format for user {who}: "
            "write it in UTC and in quotes, such as '2026-12-31 23:59:59'"
        )
    if user.new_data is None:
        return
    if text := _unfit(user.new_data):
        yield f"JWT: config validation failed for new credentials of user {who}: {text}"
    if user.password == user.new_data.password or user.secret == user.new_data.secret:
        yield f"JWT: new credentials are same as old for user {who}"


def _unfit(given: JwtUserConfig | NewCredentials) -> str | None:
    credentials = _credentials(given)
    if text := weakness(credentials):
        return text
    if not _HEADER.fullmatch(credentials.password):
        return "password should have no space at its ends and no control characters: a header cannot carry it"
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(credentials.secret)
    except InvalidKeyError:
        return "secret should be a random text, not a key in PEM, DER, SSH or JWK form"
    return None


def _credentials(given: JwtUserConfig | NewCredentials) -> Credentials:
    return Credentials(
        given.password.get_secret_value(),
        given.secret.get_secret_value(),
        given.jwt_exp or DEFAULT_LIFETIME,
    )


def _moment(text: str) -> datetime | None:
    if not _MOMENT.fullmatch(text):
        return None
    try:
        return datetime.strptime(f"{text} +0000", "%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        return None
