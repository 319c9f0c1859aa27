"""Signatory's folder of today, `watermark_v2/`, read: a file for each chain, and our warning beside them."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

from signatory.errors import ConfigError, MalformedError
from signatory.tezos.keys import PublicKeyHash
from signatory.watermark import marks
from signatory.watermark.store import Marks

AHEAD = "JOURNAL-AHEAD.json"
"""Stands in `watermark_v2/` while the journal has newer marks. Signatory refuses a folder that holds it."""

MAX_BYTES = 1 << 30
"""A longer file is no file of marks."""

REMAINS = re.compile(rf"\.(?:{marks.CHAIN_FILE.pattern}|{re.escape(AHEAD)})\.[0-9a-f]{{12}}")
"""Names of files that never got their own: a writer is at work, or a crash cut it short."""

_KIND = re.compile(r"[a-z_]{1,64}")

Measure = Callable[[str], contextlib.AbstractContextManager[None]]
"""Wraps one `read`, `write` or `create` for the metrics."""


def read(folder: Path, measure: Measure) -> tuple[Marks | None, bool]:
    """The marks, None where there is no such folder; and whether JOURNAL-AHEAD.json stands.

    Raises ConfigError naming a file that is unknown or damaged, OSError.
    """
    if not folder.exists():
        return None, False
    found, ahead = {}, False
    for path in sorted(folder.iterdir()):
        if REMAINS.fullmatch(path.name):
            continue  # no signature followed this file
        if path.name == AHEAD:
            ahead = True
        elif (chain := marks.chain_of(path.name)) and path.is_file():
            try:
                found[chain] = marks.decode(contents(path, measure))
            except MalformedError as error:
                raise unreadable(path, error) from error
        else:
            raise ConfigError(
                f"{path} is not a watermark file",
                hint="the folder holds one file per chain, like NetXdQprcVkpaWU.json; move the rest away",
            )
    return found, ahead


def check_names(found: Marks, known: Marks) -> None:
    """Whether every mark is one of a key, or was `known` before: a mistyped one protects nothing.

    Raises ConfigError.
    """
    for chain, keys in found.items():
        for key, kinds in keys.items():
            try:
                if key not in known.get(chain, {}):
                    PublicKeyHash.parse(key)
            except MalformedError as error:
                raise _mistyped(chain, key, "public key hash") from error
            for kind in kinds:
                if not _KIND.fullmatch(kind):
                    raise _mistyped(chain, kind, "request kind")


def contents(path: Path, measure: Measure) -> bytes:
    """All of a file. Raises ConfigError for one that is too long, OSError."""
    with measure("read"), path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} has more than {MAX_BYTES} bytes")
    return data


def _mistyped(chain: str, name: str, what: str) -> ConfigError:
    return ConfigError(
        f"the marks of {chain} name {name[:80]!r}, which is no {what}",
        hint=f"write it right in {chain}.json, or remove it: it protects nothing",
    )


def unreadable(path: Path, error: MalformedError) -> ConfigError:
    """The same, with the file and the way out."""
    return ConfigError(
        f"{path} cannot be read: {error}",
        hint="restore it from a copy that is at least as new as the last signature, or move it away and "
        "raise every mark above what was signed with `signatory-cli watermark raise --restored`",
    )
