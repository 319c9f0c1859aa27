"""How the emulators run as processes: one argument, logs on stdout, end at SIGTERM, one line on failure."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from signatory.errors import SignatoryError


def run(serve: Callable[[Path], Coroutine[Any, Any, None]], arguments: Sequence[str]) -> int:
    """Serve the folder named by the only argument; the exit code."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    if len(arguments) != 2:
        print("usage: python -I -m MODULE STATE_DIR", file=sys.stderr)
        return 2
    os.umask(0o077)
    try:
        asyncio.run(serve(Path(arguments[1])))
    except SignatoryError as error:
        print(f"error: {error}" + (f" ({error.hint})" if error.hint else ""), file=sys.stderr)
        return 1
    return 0


async def until_stopped() -> None:
    """Return at the first SIGTERM or SIGINT."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
