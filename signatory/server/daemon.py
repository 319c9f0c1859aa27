"""The running daemon: two listeners, the signals, and an end in which nothing begun is lost."""

import asyncio
import logging
import os
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace

from aiohttp import web

from signatory.audit.sink import AuditSink, NoAudit
from signatory.config.load import Config, HostPort, policy_of
from signatory.errors import UnavailableError
from signatory.hook.client import HttpHook
from signatory.hook.seam import Hook, NoHook
from signatory.keyring import Keyring
from signatory.limits import LIMITS, Limits
from signatory.observe.metrics import Metrics
from signatory.reload import Put, Reloader, Source, Unchanged
from signatory.server.answers import Answer
from signatory.server.connections import LimitedServer
from signatory.server.descriptors import BACKLOG, fitting
from signatory.server.handlers import Handlers, Options
from signatory.server.records import ObservedStore, Records
from signatory.server.reloading import Reloading
from signatory.server.tls import TlsFiles
from signatory.server.utility import Utility
from signatory.signer import PolicyHolder, Signer
from signatory.watermark.store import WatermarkStore

logger = logging.getLogger("signatory")


class Daemon:
    """Serves until it is told to stop.

    It opens the watermark and the keyring and closes both; `start` and `stop` are each called once. The
    policy hook of the configuration is its own, unless one is handed in.
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
        source: Source | None = None,
    ) -> None:
        """`source`: where the configuration is read again. Without one a reload lists the keys only."""
        self._server = config.server
        self._keyring = keyring
        self._limits = limits
        self.policy = PolicyHolder(policy_of(config))
        self.metrics = Metrics(addresses=self.policy.current.keys)
        self._watermark = ObservedStore(watermark, self.metrics)
        records = Records(self.metrics, watermark.backend)
        self._own_hook = _hook_of(config) if hook is None else None
        self._reloader = Reloader(config, source or Unchanged(config), self._prepared, keyring)
        reloading = Reloading(self._reloader, enabled=self._server.reload)
        self._signer = Signer(
            keyring,
            self.policy,
            self._watermark,
            hook=hook or self._own_hook or NoHook(),
            audit=audit or NoAudit(),
            observer=records,
        )
        options = Options(
            refuse_origin=self._server.refuse_origin,
            allow_list_known_keys=self._server.allow_list_known_keys,
            allow_dry_run=self._server.allow_dry_run,
        )
        self._main = Handlers(
            self._signer, self.policy, records, limits, options=options, reloading=reloading
        )
        self._utility = Utility(
            keyring,
            self.metrics,
            limits,
            stopping=lambda: self.stopping,
            trouble=lambda: self._watermark.trouble(limits.trouble),
            refuse_origin=self._server.refuse_origin,
            reloading=reloading,
        )
        self._listeners: list[tuple[asyncio.Server, LimitedServer]] = []
        self._addresses: list[HostPort] = []
        self._stop = asyncio.Event()
        self._started = self._hung_up = False
        self.stopping = False

    @property
    def addresses(self) -> tuple[HostPort, HostPort]:
        """Where the main and the utility listener really listen, once started."""
        main, utility = self._addresses
        return main, utility

    async def start(self) -> None:
        """Take the watermark, open the vaults, listen. Raises ConfigError, UnavailableError."""
        try:
            tls = await self._tls()
            logger.info("Initializing watermark backend", extra={"backend": self._watermark.backend})
            await self._watermark.open()
            await self._keyring.start()
            self._log_clients()
            await self._listen(self._main, self._server.address, "HTTP", tls)
            await self._listen(self._utility, self._server.utility_address, "Utility HTTP")
        except BaseException:
            await self.stop()
            raise
        self._started = True
        if self._hung_up:
            self.hangup()

    async def run_until_stopped(self) -> None:
        """Serve until SIGINT, SIGTERM or `request_stop`, then stop. SIGHUP reloads."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        loop.add_signal_handler(signal.SIGTERM, self._interrupted)
        loop.add_signal_handler(signal.SIGHUP, self.hangup)
        try:
            await self._stop.wait()
        finally:
            await self.stop()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def request_stop(self) -> None:
        """Let `run_until_stopped` end."""
        self._stop.set()

    def hangup(self) -> None:
        """Reload; where the start is not over, after it."""
        self._hung_up = True
        if self._started:
            logger.info("Captured hangup, reloading")
            self._reloader.hangup()
        else:
            logger.info("Captured hangup, still starting")

    async def stop(self) -> None:
        """Not ready at once; nothing new; `limits.drain` seconds for what was begun; then close all."""
        if self.stopping:
            return
        self.stopping = True
        logger.info("Shutting down...")
        await self._reloader.close()
        for listener, _ in self._listeners[:1]:
            listener.close()
        for listener, server in self._listeners:
            await server.stop(self._limits.drain)
            listener.close()
        if self._own_hook is not None:
            await self._own_hook.close()
        await self._keyring.close()
        await self._watermark.close()

    def _prepared(self, config: Config) -> Put:
        """Judge what a new configuration needs; blocks. The answer puts it in force. Raises ConfigError."""
        policy, pins = policy_of(config), pins_of(config)
        # Whether there is TLS at all is settled by the start; the files may be others.
        files = config.server.tls if self._server.tls else None
        context = TlsFiles(files).context() if files else None

        def put() -> None:
            clients = self.policy.current.clients
            self.metrics.admit(policy.keys)
            self._keyring.repin(pins)
            if context is not None:
                self._listeners[0][1].tls = context
            self.policy.current = policy
            if policy.clients != clients:
                self._log_clients()

        return put

    async def _tls(self) -> ssl.SSLContext | None:
        files = self._server.tls
        return await asyncio.to_thread(TlsFiles(files).context) if files else None

    def _log_clients(self) -> None:
        clients = self.policy.current.clients
        if clients is not None:
            logger.info("Authorized keys: [%s]", " ".join(key.id for key in clients))

    def _interrupted(self) -> None:
        logger.info("Captured interrupt")
        self.request_stop()

    async def _listen(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[Answer]],
        address: HostPort,
        name: str,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        limits = replace(self._limits, connections=fitting(self._limits.connections))
        server = LimitedServer(handler, limits, tls=tls)
        try:
            listener = await asyncio.get_running_loop().create_server(
                server.entrance, sock=_bound(address), backlog=BACKLOG
            )
        except OSError as error:
            raise UnavailableError(f"listen tcp {address}: {_reason(error)}") from error
        self._listeners.append((listener, server))
        self._addresses.append(HostPort(*listener.sockets[0].getsockname()[:2]))
        more = {"fields": {"tls": True}} if tls else None
        logger.info("%s server is listening for connections on %s", name, address, extra=more)


def pins_of(config: Config) -> dict[str, str]:
    """For some keys the one vault that may sign with them."""
    return {key: settings.vault for key, settings in config.tezos.items() if settings and settings.vault}


def _hook_of(config: Config) -> HttpHook | None:
    section = config.policy_hook
    return None if section is None else HttpHook(section.address, section.authorized_keys)


def _reason(error: OSError) -> str:
    """In Go's words; Python's own text for a taken address goes on after them."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return (error.strerror or str(error)).lower()
    return f"bind: {os.strerror(error.errno).lower()}"


def _bound(address: HostPort) -> socket.socket:
    """A listening socket; an empty host means every address, of both families where the machine has both."""
    if not address.host and socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", address.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
        )
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
