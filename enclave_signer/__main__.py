"""`python -I -m enclave_signer SETTINGS`: one settings file, no other argument, no environment.

Prints one line on standard output, `listening on ADDRESS`, when it serves; SIGTERM and SIGINT end it with 0.
Exits with 2 for wrong settings, with 1 when something it needs is not there.
"""

import asyncio
import logging
import signal
import sys
from pathlib import Path

from enclave_signer import nsm
from enclave_signer.enclave import Enclave
from enclave_signer.entropy import seed_kernel
from enclave_signer.hardening import harden, quiet_failures, quiet_loop
from enclave_signer.recipients import Recipients
from enclave_signer.roots import tls_context
from enclave_signer.server import Server
from enclave_signer.settings import Settings, load
from enclave_signer.turns import Turns
from signatory import machine
from signatory.errors import ConfigError, SignatoryError

_log = logging.getLogger("enclave_signer")


def main(arguments: list[str]) -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    quiet_failures()
    try:
        if len(arguments) != 1:
            raise ConfigError("usage: python -I -m enclave_signer SETTINGS")
        harden()
        machine.check()
        asyncio.run(serve(load(Path(arguments[0]))))
    except SignatoryError as error:
        _log.error("%s", error.message)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises UnavailableError or IntegrityError when it cannot begin."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    loop.set_exception_handler(quiet_loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    module = nsm.open_nsm(settings.nsm)
    await seed_kernel(module, mandatory=isinstance(module, nsm.DeviceNsm))
    recipients = Recipients()
    server = Server(Enclave(settings, Turns(module), recipients, tls_context(settings.roots)))
    recipients.start()
    try:
        print(f"listening on {await server.start()}", flush=True)  # noqa: T201 - whoever started us waits for it
        await stopped.wait()
    finally:
        await server.close()
        await recipients.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
