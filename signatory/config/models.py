"""What may stand in the configuration file, and its defaults. Signatory's keys, plus those marked as ours."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, field_validator

from signatory.config.hook import HookConfig
from signatory.config.keys import KeyConfig
from signatory.config.section import KeyHash, PathText, Section
from signatory.config.server import ServerConfig
from signatory.config.watermark import WatermarkConfig

DEFAULT_BASE_DIR = Path("/var/lib/signatory")


class LogConfig(Section):
    """Ours: how much is logged, unless `--log` says otherwise."""

    level: Literal["error", "warn", "info", "debug", "trace"] | None = None


class VaultConfig(Section):
    """One entry under `vaults:`. `config` is the driver's to judge."""

    driver: str
    config: Any = Field(None, repr=False)


class Config(Section):
    """The whole file."""

    base_dir: PathText = DEFAULT_BASE_DIR
    log: LogConfig = LogConfig()
    server: ServerConfig = ServerConfig()
    vaults: dict[str, VaultConfig] = Field(default_factory=dict)
    watermark: WatermarkConfig = WatermarkConfig()
    policy_hook: HookConfig | None = None
    tezos: dict[KeyHash, KeyConfig | None] = Field(default_factory=dict)

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
