"""Whose code runs: the four packages come from one folder, and they are ours.

`cli` is a common name, and a stray `cli.py` or `signatory.py` in a working folder or on PYTHONPATH could
stand before ours. The programs ask here before they import anything else of ours. Standard library only.
"""

import importlib.util
import sys
from pathlib import Path
from typing import NoReturn

PACKAGES = {
    "cli": "provenance.py",
    "enclave_signer": "include.txt",
    "signatory": "vault.py",
    "vaults": "memory.py",
}
"""Each package of the distribution, and a file that only ours holds."""


def home() -> Path:
    """The folder that holds the packages."""
    return Path(__file__).resolve().parent.parent


def strangers() -> list[str]:
    """One sentence for each package that does not come from `home()` or is not ours."""
    return [text for name, witness in PACKAGES.items() if (text := _stranger(name, witness))]


def _stranger(name: str, witness: str) -> str | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:
        return f"the package `{name}` cannot be found: {error}"
    if spec is None or spec.origin is None:
        return f"the package `{name}` is missing beside {home()}"
    found, ours = Path(spec.origin).resolve(), home() / name
    if found != ours / "__init__.py":
        return f"`{name}` comes from {found}, not from {ours}"
    return None if (ours / witness).is_file() else f"{ours} is not ours: it has no {witness}"


def require() -> None:
    """End the program, exit code 1, when the code that would run is not ours."""
    if found := strangers():
        _refuse(found)


def _refuse(found: list[str]) -> NoReturn:
    for text in found:
        print(f"Error: {text}", file=sys.stderr)
    print(
        "hint: start from another folder, unset PYTHONPATH, or install signatory-vault anew", file=sys.stderr
    )
    sys.exit(1)
