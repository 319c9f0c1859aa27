"""The `policy_hook:` section: somebody outside who is asked before every signature."""

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, field_validator

from signatory.config.section import LOOPBACK, PublicKeys, Section
from signatory.crypto.keypair import check_public
from signatory.errors import MalformedError
from signatory.tezos.keys import PublicKey

_EXAMPLE = "such as `https://approval.example/hook`"


def url(value: str) -> str:
    """The URL as written. Raises ValueError, whose text never repeats it: it may hold a password."""
    if not (value.isascii() and value.isprintable()) or set(value) & set(' "<>\\^`{|}'):
        raise ValueError("must be a URL in plain ASCII, without spaces")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"must be a URL, {_EXAMPLE}") from None
    if parts.scheme not in {"http", "https"} or "://" not in value:
        raise ValueError(f"must be a URL with its scheme, {_EXAMPLE}: a host and a port alone are not enough")
    if not host or port == 0:
        raise ValueError(f"must name a host and, if any, a port from 1 to 65535, {_EXAMPLE}")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or a password; signed answers need `authorized_keys`")
    if "#" in value:
        raise ValueError("must not hold a fragment (`#...`): a server never sees it")
    return value


class HookConfig(Section):
    """Where to ask; with keys, whose signed answers count."""

    address: Annotated[str, AfterValidator(url)]
    authorized_keys: PublicKeys | None = None
    """None: the status of the answer alone decides."""

    @field_validator("authorized_keys")
    @classmethod
    def _can_sign(cls, keys: tuple[PublicKey, ...] | None) -> tuple[PublicKey, ...] | None:
        if keys is None:
            return None
        if not keys:
            raise ValueError(
                "an empty list trusts no answer: name the hook's key, or remove `authorized_keys`"
            )
        for key in keys:
            try:
                key.hash  # noqa: B018 - raises for a key without an address, which a reply could not name
                check_public(key.type, key.data)
            except MalformedError as error:
                raise ValueError(str(error)) from None
        return keys


def advice(settings: HookConfig) -> Iterator[str]:
    """Warnings: what the operator should know about the way to the hook."""
    parts = urlsplit(settings.address)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        told = (
            "answers are signed, but everybody on the way reads the requests"
            if settings.authorized_keys
            else "everybody on the way can read the requests and allow them; use https or `authorized_keys`"
        )
        yield f"`address` is plain http to another machine: {told}"
