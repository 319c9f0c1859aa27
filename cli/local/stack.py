"""`signatory dev`: the whole attested flow on one machine, each part in its own process.

    daemon ── unix socket ──► enclave signer ── unix socket ──► software NSM
      └─ proxy ◄── TLS of the enclave, on a unix socket; on to the KMS emulator on loopback

The supervisor measures the enclave's program, lets the laptop's KMS key open to that measurement, starts the
processes in order, makes the keys that are missing, and stops all when one of them ends or it is told to.
"""

import asyncio
import contextlib
import http.client
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli.local import stack_files
from cli.local.layout import Layout
from cli.local.measure import tree_of_program
from cli.local.processes import START_TIMEOUT, Children
from cli.local.stack_keys import ensure_keys
from cli.local.stack_report import Result, table
from cli.local.stack_signals import told_to_stop
from cli.program import failed
from signatory.config.section import LOOPBACK, HostPort
from signatory.errors import ConfigError, DeniedError, SignatoryError, UnavailableError
from signatory.files import locked

_POLL = 0.02


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for. `tree` is the folder of the measured packages."""

    base_dir: Path
    address: HostPort
    utility_address: HostPort
    quiet: bool
    repin: bool
    tree: Path


def dev(base_dir: Path, address: str, utility_address: str, quiet: bool, repin: bool) -> int:
    """Run the stack until SIGINT or SIGTERM: 0. When it cannot start, or a process dies: a message, and 1."""
    os.umask(0o077)
    try:
        plan = Plan(base_dir, _loopback(address), _loopback(utility_address), quiet, repin, tree_of_program())
        asyncio.run(run(plan))
    except SignatoryError as error:
        return failed(str(error), error.hint)
    return 0


async def run(plan: Plan) -> None:
    """The stack's whole life. Raises SignatoryError when it cannot start or a process dies."""
    layout = Layout.prepare(plan.base_dir)
    with _alone(layout):
        children = Children(layout.logs)
        told = told_to_stop(children.hurry)
        life = asyncio.create_task(_live(plan, layout, children))
        stopped = asyncio.create_task(told.wait())
        try:
            await asyncio.wait({life, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if life.done():
                await life
        finally:
            stopped.cancel()
            await _cancelled(life)
            killed = await children.stop()
            why = "the second signal came" if children.hurry.is_set() else "it did not stop"
            for name in killed:
                print(f"the process `{name}` was killed: {why}", file=sys.stderr)
            layout.remove_sockets()


async def _live(plan: Plan, layout: Layout, children: Children) -> None:
    death = asyncio.create_task(children.first_death())
    start = asyncio.create_task(_start(plan, layout, children))
    try:
        done, _ = await asyncio.wait({death, start}, return_when=asyncio.FIRST_COMPLETED)
        for task in sorted(done, key=lambda task: task is not death):
            await task
        await death
    finally:
        for task in (start, death):
            await _cancelled(task)


async def _start(plan: Plan, layout: Layout, children: Children) -> None:
    listeners = _free(plan.address, "--address"), _free(plan.utility_address, "--utility-address")
    layout.result.unlink(missing_ok=True)
    identity = stack_files.Identity.of(layout)
    now = datetime.now(UTC)
    nsm_config = stack_files.write_emulators(layout, identity, plan.tree, now)
    measured = nsm_config.measured()
    _pin(plan, layout, identity, measured, now)
    nsm = children.start("nsm", "cli.local.nsm", str(layout.nsm))
    kms = children.start("kms", "cli.local.kms", str(layout.kms))
    await children.listening(nsm)
    enclave = children.start("enclave", "enclave_signer", str(layout.settings))
    kms_address = (await children.listening(kms)).removeprefix("tcp://")
    enclave_address = await children.listening(enclave)
    stack_files.write_config(layout, identity, kms_address, listeners, [])
    keys, shown = await ensure_keys(layout)
    stack_files.write_config(layout, identity, kms_address, listeners, keys)
    children.start("daemon", "cli.signatory", "serve", "-c", str(layout.config))
    await _healthy(listeners[1], children)
    result = Result(*listeners, shown, str(layout.config), identity.kms_key_arn, enclave_address)
    result.save(layout)
    if not plan.quiet:
        print(table(result, layout, measured[0]), flush=True)


def _pin(
    plan: Plan,
    layout: Layout,
    identity: stack_files.Identity,
    measured: Mapping[int, bytes],
    at: datetime,
) -> None:
    """Let the key open to the measurement; when that is another than before, say so or refuse."""
    before, now = stack_files.pinned_pcr0(layout), measured[0].hex()
    if before not in {None, now}:
        change = f"the enclave's measurement changed\n  PCR0 {before}\n    -> {now}"
        if not plan.repin:
            raise DeniedError(change, hint="start without --no-repin to let the laptop's KMS key open to it")
        if not plan.quiet:
            print(f"{change}\n  pinned anew in the laptop's key policy and manifest\n", flush=True)
    stack_files.pin(layout, identity, measured, at)


async def _healthy(address: str, children: Children) -> None:
    try:
        async with asyncio.timeout(START_TIMEOUT):
            while not await asyncio.to_thread(_is_healthy, address):
                children.check()
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise UnavailableError(f"the daemon is not ready after {START_TIMEOUT:g} s") from None


def _is_healthy(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    return False


async def _cancelled(task: "asyncio.Task[None]") -> None:
    """End a task whose outcome nobody waits for any more."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, SignatoryError):
        await task


@contextlib.contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Raises ConfigError when another stack has this folder."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(layout.lock, wait=False))
        except UnavailableError as error:
            raise ConfigError(
                f"another `signatory dev` uses {layout.base}", hint="stop it, or give another --base-dir"
            ) from error
        yield


def _loopback(text: str) -> HostPort:
    try:
        address = HostPort.parse(text)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if address.host not in LOOPBACK:
        raise ConfigError(f"{text} is not on loopback", hint="the laptop stack listens on 127.0.0.1 only")
    return address


def _free(address: HostPort, option: str) -> str:
    """The address, proved free; port 0 becomes a free one. Raises ConfigError."""
    host = "127.0.0.1" if address.host == "localhost" else address.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, address.port))
        except OSError as error:
            raise ConfigError(
                f"{address} cannot be used: {error.strerror}",
                hint=f"stop what listens there, or give {option}",
            ) from error
        port = probe.getsockname()[1]
    return str(HostPort(address.host, port))
