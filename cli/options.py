"""The options that stand before or after any command, as in Signatory: the later one wins."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from signatory.config.load import DEFAULT_FILE

Command = TypeVar("Command", bound=Callable[..., Any])

LEVELS = ("panic", "fatal", "error", "warn", "warning", "info", "debug", "trace")
HELP = {"help_option_names": ["-h", "--help"]}

_KEY = "cli.options.settings"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the global options say."""

    config: str = DEFAULT_FILE
    """Path of the file; empty for none."""
    base_dir: str | None = None
    log_level: str | None = None
    """As given; it wins over the configuration's."""
    json_log: bool = False
    allow_unknown_keys: bool = False

    def level(self, configured: str | None = None) -> str:
        """How much is logged, where the configuration says `configured`."""
        return self.log_level or configured or "info"


def settings() -> Settings:
    """The settings of the command that runs."""
    given = click.get_current_context().meta.get(_KEY, {})
    return Settings(**given)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None and parameter.name is not None:
        context.meta.setdefault(_KEY, {})[parameter.name] = value


def global_options(command: Command) -> Command:
    """Give a group or command the options that all of them take."""
    shared: dict[str, Any] = {"default": None, "expose_value": False, "callback": _remember}
    for option in (
        click.option(
            "--allow-unknown-keys",
            is_flag=True,
            help="Warn of unknown keys in the configuration instead of refusing them.",
            **shared,
        ),
        click.option("--json-log", is_flag=True, help="Log in JSON.", **shared),
        click.option(
            "--log",
            "log_level",
            type=click.Choice(LEVELS, case_sensitive=False),
            help="Log level; wins over `log.level:`, `info` unless told.",
            **shared,
        ),
        click.option(
            "--base-dir", metavar="DIR", help="Folder of all files; wins over `base_dir:`.", **shared
        ),
        click.option(
            "-c",
            "--config",
            metavar="FILE",
            help=f"Configuration file; {DEFAULT_FILE} unless told, '' for the defaults.",
            **shared,
        ),
    ):
        command = option(command)
    return command
