"""What keeps secrets from leaving by the side doors: core dumps, ptrace, tracebacks."""

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import sys
import threading
from typing import Any

from signatory.errors import SignatoryError, UnavailableError

_PR_SET_DUMPABLE = 4
_log = logging.getLogger("enclave_signer")


def harden() -> None:
    """No core dumps, no ptrace, no /proc/PID/mem. Raises UnavailableError where the kernel refuses."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise UnavailableError(f"the process cannot be made undumpable: {os.strerror(ctypes.get_errno())}")
    os.umask(0o077)


def quiet_failures() -> None:
    """Uncaught exceptions show their type, and their text only when it is ours: others may quote secrets."""
    sys.excepthook = lambda kind, error, _trace: _say(kind, error)
    sys.unraisablehook = lambda failure: _say(failure.exc_type, failure.exc_value)
    threading.excepthook = lambda failure: _say(failure.exc_type, failure.exc_value)
    logging.raiseExceptions = False
    sys.tracebacklimit = 0


def quiet_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The event loop's handler for what no task caught."""
    del loop
    error = context.get("exception")
    _say(type(error), error) if isinstance(error, BaseException) else _log.error("the event loop complained")


def _say(kind: type[BaseException] | None, error: BaseException | None) -> None:
    name = kind.__name__ if kind else "an error"
    with contextlib.suppress(Exception):
        _log.error("%s", f"{name}: {error.message}" if isinstance(error, SignatoryError) else name)
