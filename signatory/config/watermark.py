"""The `watermark:` section: where the marks are kept."""

import re
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator

from signatory.config.problems import Findings, shown, suggestion
from signatory.config.section import LOOPBACK, Section
from signatory.net.aws import AwsCredentials
from signatory.net.dynamodb import TableSettings

_DRIVERS = ("file", "mem", "aws", "dynamodb")
_FOREIGN = {"gcp"}


def _like(pattern: str, what: str) -> AfterValidator:
    def checked(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {what}")
        return value

    return AfterValidator(checked)


_Region = Annotated[str, _like(r"[a-z0-9-]{1,32}", "an AWS region, such as `eu-west-1`")]
_Table = Annotated[str, _like(r"[A-Za-z0-9_.-]{3,255}", "3 to 255 letters, digits, `_`, `.` and `-`")]
_Name = Annotated[str, _like(r"[A-Za-z0-9_.-]{1,64}", "1 to 64 letters, digits, `_`, `.` and `-`")]
_WholePath = Annotated[
    str, _like(r"/[^\0]*[^\0/]", "a whole path of a file, such as `/mnt/other/anchor.json`")
]


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


class TableConfig(Section):
    """A DynamoDB table, and whose credentials reach it. Without written ones AWS's default chain is asked."""

    access_key_id: str | None = Field(default=None, min_length=1)
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    region: _Region | None = None
    table: _Table = "watermark"
    endpoint: Annotated[str, AfterValidator(_endpoint)] | None = None
    """Ours: the URL of a VPC endpoint or of an emulator."""
    create_table: bool = True
    """Ours: false where the daemon has no right to make tables, or must not by mistake."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key come together or not at all")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token without access_key_id and secret_access_key is of no use")
        return self

    @property
    def settings(self) -> TableSettings:
        """The same for the edge that calls the table."""
        credentials = None
        if self.access_key_id is not None and self.secret_access_key is not None:
            token = self.session_token.get_secret_value() if self.session_token else None
            credentials = AwsCredentials(self.access_key_id, self.secret_access_key.get_secret_value(), token)
        return TableSettings(self.table, self.region, self.endpoint, credentials, self.create_table)


class AnchorItemConfig(TableConfig):
    """An anchor in the item `anchor/KEY` of a table."""

    key: _Name = "default"
    """Each mark folder needs one of its own."""


class AnchorConfig(Section):
    """Ours: the second place of the marks' epoch. Exactly one of the two."""

    file: _WholePath | None = None
    """A path on another disk, whole; its folder must exist."""
    dynamodb: AnchorItemConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        """`dynamodb:` with nothing after it is an item with every default, not an absent one."""
        if isinstance(data, dict) and "dynamodb" in data and data["dynamodb"] is None:
            return {**data, "dynamodb": {}}
        return data

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.file is None) == (self.dynamodb is None):
            raise ValueError("needs either `file: PATH` or `dynamodb:`")
        return self


class FileMarksConfig(Section):
    """The `file` driver's block."""

    anchor: AnchorConfig | None = None


class NoSettings(Section):
    """A block that has no keys."""


_BLOCKS: dict[str, type[Section]] = {"file": FileMarksConfig, "mem": NoSettings, "aws": TableConfig}


class WatermarkConfig(Section):
    """Where the marks are kept. `driver` reads `aws` for its other name, `dynamodb`, too."""

    driver: str = "file"
    config: FileMarksConfig | TableConfig | NoSettings | None = None

    @field_validator("driver")
    @classmethod
    def _known(cls, value: str) -> str:
        if value in _DRIVERS:
            return "aws" if value == "dynamodb" else value
        if value in _FOREIGN:
            raise ValueError(
                f"the watermark driver `{value}` is not available in this version; use file, aws or mem"
            )
        raise ValueError(f"there is no watermark driver `{shown(value)}`{suggestion(value, _DRIVERS)}")

    @field_validator("config", mode="plain")
    @classmethod
    def _of_its_driver(cls, value: Any, info: ValidationInfo) -> Any:
        driver = info.data.get("driver")
        if driver is None:
            return None  # the driver is refused already; its config is no fault of its own
        block = _BLOCKS[driver]
        if isinstance(value, dict):
            others = {name for model in _BLOCKS.values() for name in model.model_fields}
            if strange := [name for name in value if name in others - set(block.model_fields)]:
                raise Findings([((name,), f"is no key of the driver `{driver}`") for name in strange])
        return block.model_validate(value)

    @property
    def table(self) -> TableSettings | None:
        """The table of the driver `aws`; None for the others."""
        if self.driver != "aws":
            return None
        return (self.config if isinstance(self.config, TableConfig) else TableConfig()).settings

    @property
    def anchor(self) -> AnchorConfig | None:
        """Where the driver `file` keeps its epoch a second time, if anywhere."""
        return self.config.anchor if isinstance(self.config, FileMarksConfig) else None
