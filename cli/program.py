"""How a program ends: one line that says what happened, one that says what to do, exit code 0 or 1."""

import sys
import traceback

import click

from signatory.errors import SignatoryError


def run(command: click.Command, name: str) -> int:
    """Run a command line. Returns 0, or 1 for every failure; never raises."""
    try:
        outcome = command.main(prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 1
    except click.Abort:
        return failed("interrupted")
    except SignatoryError as error:
        return failed(str(error), error.hint)
    except Exception as error:  # noqa: BLE001  # the last edge: the text of a foreign error may hold a secret
        frames = "".join(traceback.format_tb(error.__traceback__))
        print(frames, end="", file=sys.stderr)
        return failed(
            f"internal error: {type(error).__name__}", "this is a bug; please report the lines above"
        )
    return int(bool(outcome))


def failed(text: str, hint: str | None = None) -> int:
    """Say on stderr what went wrong. Returns 1."""
    print(f"Error: {text}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return 1
