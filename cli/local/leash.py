"""Start a module so that it cannot outlive its supervisor.

Usage: `python -I -m cli.local.leash SUPERVISOR_PID MODULE ARGS...`.

The kernel kills the process when the thread that started it ends (PR_SET_PDEATHSIG), also after kill -9 of
the supervisor. That is asked for here, between fork and exec of the real program, because a function run by
`subprocess` in a forked child may deadlock; the wish survives exec.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Become the module. Exits when there is no supervisor any more, or the kernel refuses."""
    supervisor, *command = arguments
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(supervisor):
        sys.exit("the supervisor is gone")
    os.execv(sys.executable, [sys.executable, "-I", "-m", *command])  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
