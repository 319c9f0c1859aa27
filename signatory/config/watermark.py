"""The `watermark:` section: where the marks are kept."""

from typing import Annotated, Any, Self

from pydantic import ValidationInfo, field_validator, model_validator

from signatory.config.aws import AwsCredentialsConfig, Endpoint, TableName, like
from signatory.config.problems import Findings, shown, suggestion
from signatory.config.section import Section
from signatory.net.dynamodb import TableSettings

_DRIVERS = ("file", "mem", "aws", "dynamodb")
_FOREIGN = {"gcp"}


_Name = Annotated[str, like(r"[A-Za-z0-9_.-]{1,64}", "1 to 64 letters, digits, `_`, `.` and `-`")]
_WholePath = Annotated[
    str, like(r"/[^\0]*[^\0/]", "a whole path of a file, such as `/mnt/other/anchor.json`")
]


class TableConfig(AwsCredentialsConfig):
    """A DynamoDB table, and whose credentials reach it."""

    table: TableName = "watermark"
    endpoint: Endpoint | None = None
    """Ours: the URL of a VPC endpoint or of an emulator."""
    create_table: bool = True
    """Ours: false where the daemon has no right to make tables, or must not by mistake."""

    @property
    def settings(self) -> TableSettings:
        """The same for the edge that calls the table."""
        return TableSettings(self.table, self.region, self.endpoint, self.written, self.create_table)


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
