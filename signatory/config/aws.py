"""What every section that reaches AWS has in common: credentials written down, a region, an endpoint."""

import re
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from signatory.config.section import LOOPBACK, Section
from signatory.net.aws import AwsCredentials


def like(pattern: str, what: str) -> AfterValidator:
    """Takes a text of this pattern; otherwise it "must be `what`"."""

    def checked(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {what}")
        return value

    return AfterValidator(checked)


def _endpoint(value: str) -> str:
    """The URL as written. Raises ValueError, whose text does not repeat it: it may hold a password."""
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise ValueError("must be a URL, such as `https://vpce-0123.dynamodb.eu-west-1.vpce.amazonaws.com`")
    if "@" in parts.netloc or parts.query or parts.fragment or parts.path not in {"", "/"}:
        raise ValueError("must be a scheme, a host and a port, nothing more")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ValueError("plain http is for loopback only; use https")
    return value


Region = Annotated[str, like(r"[a-z0-9-]{1,32}", "an AWS region, such as `eu-west-1`")]
TableName = Annotated[str, like(r"[A-Za-z0-9_.-]{3,255}", "3 to 255 letters, digits, `_`, `.` and `-`")]
Endpoint = Annotated[str, AfterValidator(_endpoint)]


class AwsCredentialsConfig(Section):
    """Whose credentials reach AWS, and where. Without written ones AWS's default chain is asked."""

    access_key_id: str | None = Field(default=None, min_length=1)
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    region: Region | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key come together or not at all")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token without access_key_id and secret_access_key is of no use")
        return self

    @property
    def written(self) -> AwsCredentials | None:
        """The credentials that stand here, without a region; None where none do."""
        if self.access_key_id is None or self.secret_access_key is None:
            return None
        token = self.session_token.get_secret_value() if self.session_token else None
        return AwsCredentials(self.access_key_id, self.secret_access_key.get_secret_value(), token)
