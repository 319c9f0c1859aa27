"""Paths in a driver's configuration."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from signatory.errors import ConfigError

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def expand(text: str, base_dir: Path, env: Mapping[str, str] = os.environ) -> Path:
    """The path with `$NAME` and `${NAME}` replaced; BASE_DIR means `base_dir` where it is not set.

    Raises ConfigError for a name that is not set: an empty part would be another path.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name == "BASE_DIR" and name not in env:
            return str(base_dir)
        if not env.get(name):
            raise ConfigError(f"the path {text} needs the variable {name}, which is not set")
        return env[name]

    return Path(_VARIABLE.sub(value, text))
