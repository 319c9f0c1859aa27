"""The running daemon: two listeners, the signals, and an end in which nothing begun is lost."""

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace

from aiohttp import web

from signatory.audit.sink import AuditSink, NoAudit
from signatory.config.load import Config, HostPort, policy_of
from signatory.errors import UnavailableError
from signatory.hook import Hook, NoHook
from signatory.keyring import Keyring
from signatory.limits import LIMITS, Limits
from signatory.observe.metrics import Metrics
from signatory.server.answers import Answer
from signatory.server.connections import LimitedServer
from signatory.server.descriptors import BACKLOG, fitting
from signatory.server.handlers import Handlers, Options
from signatory.server.records import ObservedStore, Records
from signatory.server.utility import Utility
from signatory.signer import PolicyHolder, Signer
from signatory.watermark.store import WatermarkStore

logger = logging.getLogger("signatory")


class Daemon:
    """Serves until it is told to stop.

    It opens the watermark and the keyring and closes both; `start` and `stop` are each called once.
    """

    def __init__(
        self,
        config: Config,
        keyring: Keyring,
        watermark: WatermarkStore,
        *,
        limits: Limits = LIMITS,
        hook: Hook | None = None,
        audit: AuditSink | None = None,
    ) -> None:
        self._server = config.server
        self._keyring = keyring
        self._limits = limits
        self.policy = PolicyHolder(policy_of(config))
        self.metrics = Metrics(addresses=self.policy.current.keys)
        self._watermark = ObservedStore(watermark, self.metrics)
        records = Records(self.metrics, watermark.backend)
        self._signer = Signer(
            keyring,
            self.policy,
            self._watermark,
            hook=hook or NoHook(),
            audit=audit or NoAudit(),
            observer=records,
        )
        options = Options(
            refuse_origin=self._server.refuse_origin,
            allow_list_known_keys=self._server.allow_list_known_keys,
        )
        self._main = Handlers(self._signer, self.policy, records, limits, options=options)
        self._utility = Utility(
            keyring,
            self.metrics,
            limits,
            stopping=lambda: self.stopping,
            trouble=lambda: self._watermark.trouble(limits.trouble),
            refuse_origin=self._server.refuse_origin,
        )
        self._listeners: list[tuple[asyncio.Server, LimitedServer]] = []
        self._addresses: list[HostPort] = []
        self._stop = asyncio.Event()
        self.stopping = False

    @property
    def addresses(self) -> tuple[HostPort, HostPort]:
        """Where the main and the utility listener really listen, once started."""
        main, utility = self._addresses
        return main, utility

    async def start(self) -> None:
        """Take the watermark, open the vaults, listen. Raises ConfigError, UnavailableError."""
        try:
            logger.info("Initializing watermark backend", extra={"backend": self._watermark.backend})
            await self._watermark.open()
            await self._keyring.start()
            self._log_clients()
            await self._listen(self._main, self._server.address, "HTTP")
            await self._listen(self._utility, self._server.utility_address, "Utility HTTP")
        except BaseException:
            await self.stop()
            raise

    async def run_until_stopped(self) -> None:
        """Serve until SIGINT, SIGTERM or `request_stop`, then stop. SIGHUP lists the keys again."""
        loop = asyncio.get_running_loop()
        refreshes: set[asyncio.Task[None]] = set()

        def refresh() -> None:
            logger.info("Captured hangup, listing keys again")
            task = loop.create_task(self._keyring.refresh())
            refreshes.add(task)
            task.add_done_callback(refreshes.discard)

        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        loop.add_signal_handler(signal.SIGTERM, self._interrupted)
        loop.add_signal_handler(signal.SIGHUP, refresh)
        try:
            await self._stop.wait()
        finally:
            await self.stop()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def request_stop(self) -> None:
        """Let `run_until_stopped` end."""
        self._stop.set()

    async def stop(self) -> None:
        """Not ready at once; nothing new; `limits.drain` seconds for what was begun; then close all."""
        if self.stopping:
            return
        self.stopping = True
        logger.info("Shutting down...")
        for listener, _ in self._listeners[:1]:
            listener.close()
        for listener, server in self._listeners:
            await server.stop(self._limits.drain)
            listener.close()
        await self._keyring.close()
        await self._watermark.close()

    def _log_clients(self) -> None:
        clients = self.policy.current.clients
        if clients is not None:
            logger.info("Authorized keys: [%s]", " ".join(key.id for key in clients))

    def _interrupted(self) -> None:
        logger.info("Captured interrupt")
        self.request_stop()

    async def _listen(
        self, handler: Callable[[web.BaseRequest], Awaitable[Answer]], address: HostPort, name: str
    ) -> None:
        limits = replace(self._limits, connections=fitting(self._limits.connections))
        server = LimitedServer(handler, limits)
        try:
            listener = await asyncio.get_running_loop().create_server(
                server, sock=_bound(address), backlog=BACKLOG
            )
        except OSError as error:
            raise UnavailableError(
                f"listen tcp {address}: bind: {(error.strerror or str(error)).lower()}"
            ) from error
        self._listeners.append((listener, server))
        self._addresses.append(HostPort(*listener.sockets[0].getsockname()[:2]))
        logger.info("%s server is listening for connections on %s", name, address)


def _bound(address: HostPort) -> socket.socket:
    """A listening socket; an empty host means every address, of both families where the machine has both."""
    if not address.host and socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", address.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
        )
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
