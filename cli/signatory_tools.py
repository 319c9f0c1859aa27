"""The program `signatory-tools`: nothing of ours is imported before we know that it is ours."""

import importlib
import sys

from cli import provenance


def main() -> None:
    """Run the program and exit: 0, or 1 for every failure."""
    provenance.require()
    sys.exit(importlib.import_module("cli.tools").main())


if __name__ == "__main__":
    main()
