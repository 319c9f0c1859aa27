"""Whether others on the machine can write the file, or read secrets that are written out in it."""

import re
import stat
from typing import Any

_WHOLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRETS = re.compile(r"(?i)secret|password(?!_file)|token|\bpin\b")


def exposed(source: str, mode: int, tree: Any) -> list[str]:
    """Warnings about the file `source` of this mode, whose values are `tree`."""
    if not stat.S_ISREG(mode):
        return []
    if mode & stat.S_IWOTH:
        return [
            f"{source} can be written by everybody on this machine (chmod o-w): it decides what is signed"
        ]
    if mode & stat.S_IROTH and _holds_secrets(tree):
        return [f"{source} holds secrets and can be read by everybody on this machine (chmod o-r)"]
    return []


def _holds_secrets(tree: Any) -> bool:
    tree = tree if isinstance(tree, dict) else {}
    server, vaults = tree.get("server"), tree.get("vaults")
    marks = tree.get("watermark")
    if isinstance(server, dict) and _names_a_secret(server.get("jwt")):
        return True
    if isinstance(marks, dict) and _names_a_secret(marks.get("config")):
        return True
    for entry in vaults.values() if isinstance(vaults, dict) else ():
        if isinstance(entry, dict):
            settings = entry.get("config")
            if _names_a_secret(settings) or (entry.get("driver") == "mem" and _written_out(settings)):
                return True
    return False


def _names_a_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return any(
            (_SECRETS.search(key) and _written_out(item)) or _names_a_secret(item)
            for key, item in value.items()
        )
    return isinstance(value, list) and any(_names_a_secret(item) for item in value)


def _written_out(value: Any) -> bool:
    """Whether there is a text here that is not a variable's name."""
    if isinstance(value, list):
        return any(_written_out(item) for item in value)
    return isinstance(value, str) and not _WHOLE.fullmatch(value)
