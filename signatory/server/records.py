"""What the daemon writes down about each request: metrics and log lines, by Signatory's names."""

import logging
import time
from collections import Counter
from typing import Any

from signatory.crypto.curves import SigningVersion
from signatory.errors import SignatoryError, UnavailableError, WatermarkError
from signatory.observe.metrics import Metrics
from signatory.policy.values import Client
from signatory.server.answers import STATUSES, public_message
from signatory.signer import PolicyError, Story
from signatory.tezos.requests import SignRequest
from signatory.watermark.rules import Mark, slot_of
from signatory.watermark.store import IoObserver, Marks, WatermarkStore

logger = logging.getLogger("signatory")


class Records:
    """The observer of the sign story, and of its end."""

    def __init__(self, metrics: Metrics, backend: str) -> None:
        self._metrics = metrics
        self._backend = backend

    def began(self, version: SigningVersion) -> None:
        if logger.isEnabledFor(logging.INFO):
            logger.info("Signing version: %d", 2 if version is SigningVersion.LATEST else version)

    def requesting(self, story: Story) -> None:
        """Every check but the watermark has passed."""
        story.requested_at = time.perf_counter()
        level = logging.INFO if story.log_payload else logging.DEBUG
        if logger.isEnabledFor(logging.INFO):
            logger.info("Requesting signing operation", extra={"fields": _fields(story)})
            if logger.isEnabledFor(level):
                raw = {"raw": story.message.hex()}
                logger.log(level, "About to sign raw bytes", extra={"fields": _fields(story) | raw})

    def signed(self, story: Story) -> None:
        """The signature is about to be released."""
        request, entry, metrics = story.request, story.entry, self._metrics
        if request is None or entry is None:
            return
        kind, chain, vault = request.kind, request.chain_id or "", entry.vault.label
        if request.operations and kind == "generic":
            for operation, count in _tally(request.operations).items():
                metrics.signing_ops.child(story.address, vault, kind, operation, chain).inc(count)
        else:
            metrics.signing_ops.child(story.address, vault, kind, kind, chain).inc()
        elapsed = (time.perf_counter() - story.requested_at) * 1000
        metrics.vault_duration.child(vault, story.address, kind, chain).observe(elapsed)
        if slot_of(kind):
            metrics.consensus_round.child(story.address, kind, chain, str(request.round)).inc()
        else:
            metrics.watermark_operations.child("success", self._backend, kind).inc()
        if logger.isEnabledFor(logging.INFO):
            logger.info("Signed %s successfully", kind, extra={"fields": _fields(story)})

    def failed(self, story: Story, error: SignatoryError | TimeoutError) -> None:
        """The story ended without a signature."""
        status = STATUSES[error.kind] if isinstance(error, SignatoryError) else 503
        kind, chain = (story.request.kind, story.request.chain_id or "") if story.request else ("", "")
        if isinstance(error, PolicyError) and error.violation:
            self._metrics.policy_violations.child(error.violation, story.address, "request").inc()
            if error.violation == "authentication":
                self.unauthenticated(status, story.client.source, "authorized_keys")
        elif story.stage == "hook":
            self._metrics.policy_violations.child("policy_hook", story.address, "request").inc()
        elif story.stage in {"watermark", "vault"} and story.entry:
            self._metrics.vault_errors.child(story.entry.vault.label, str(status), chain).inc()
        if isinstance(error, WatermarkError):
            reason = public_message(error)
            self._metrics.watermark_rejections.child(story.address, kind, chain, reason).inc()
        hint = getattr(error, "hint", None)
        text = str(error) or type(error).__name__
        fields = _fields(story) | ({"hint": hint} if hint else {})
        logger.error("Error signing request: %s", text, extra={"fields": fields})

    def unproved(self, story: Story, error: SignatoryError | TimeoutError) -> None:
        """The proof of possession was not made."""
        if story.stage == "hook":
            self._metrics.policy_violations.child("policy_hook", story.address, "request").inc()
        hint = getattr(error, "hint", None)
        text = str(error) or type(error).__name__
        fields = _fields(story) | ({"hint": hint} if hint else {})
        logger.error("Error signing request: %s", text, extra={"fields": fields})

    def explained(self, address: str, client: Client, *, allowed: bool) -> None:
        """Somebody was told what the policy would decide. No metric: nothing was to be signed."""
        fields = {"pkh": address, "client_pkh": client.key_hash, "user": client.user, "allowed": allowed}
        told = {name: value for name, value in fields.items() if value is not None}
        logger.info("Dry run", extra={"fields": told})

    def unidentified(self, error: SignatoryError, client_ip: str) -> None:
        """The signature of a client key is missing or not good."""
        self.unauthenticated(STATUSES[error.kind], client_ip)
        logger.error("%s", error, extra={"fields": {"client_ip": client_ip}})

    def unauthenticated(self, status: int, client_ip: str, method: str = "authentication") -> None:
        self._metrics.authentication_failures.child(str(status), method, client_ip).inc()

    def login(self, status: int) -> None:
        """A request to log in has its answer."""
        self._metrics.logins.child(str(status)).inc()

    def answered(self, address: str, status: int, seconds: float) -> None:
        """A POST /keys request has its answer."""
        text = str(status)
        self._metrics.handler_duration.child(address, text).observe(int(seconds * 1000))
        self._metrics.handler_requests.child(address, text).inc()


class ObservedStore:
    """A watermark store whose every answer is counted."""

    def __init__(self, store: WatermarkStore, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self.backend = store.backend
        self.table = store.table
        self.on_io: IoObserver = self._io
        store.on_io = self._io
        self._failure: tuple[float, str] | None = None

    def trouble(self, within: float) -> str:
        """Why the last mark could not be made durable, for so many seconds; empty when it could.

        Not for ever: whoever sends requests only to who is ready would never let it write again.
        """
        if self._failure is None or time.monotonic() - self._failure[0] > within:
            return ""
        return self._failure[1]

    async def open(self) -> None:
        await self._store.open()

    async def advance(self, chain: str, pkh: str, kind: str, mark: Mark) -> None:
        began, count = time.perf_counter(), self._metrics.watermark_operations
        try:
            await self._store.advance(chain, pkh, kind, mark)
            count.child("success", self.backend, kind).inc()
            self._failure = None
        except WatermarkError:
            count.child("rejected", self.backend, kind).inc()
            raise
        except UnavailableError as error:  # nothing was judged; the I/O metrics have it
            self._failure = (time.monotonic(), str(error))
            raise
        finally:
            self._metrics.watermark_duration.child(self.backend).observe(time.perf_counter() - began)

    async def current(self, chain: str, pkh: str, kind: str) -> Mark | None:
        return await self._store.current(chain, pkh, kind)

    async def lift(self, marks: Marks) -> int:
        return await self._store.lift(marks)

    async def inspect(self) -> Marks:
        return await self._store.inspect()

    async def close(self) -> None:
        await self._store.close()

    def _io(self, operation: str, seconds: float, error_type: str) -> None:
        result = "error" if error_type else "success"
        self._metrics.watermark_io.child(self.backend, operation, self.table, result).inc()
        self._metrics.watermark_io_latency.child(self.backend, operation, self.table).observe(seconds)
        if error_type:
            self._metrics.watermark_io_errors.child(self.backend, error_type, self.table, operation).inc()


def _tally(operations: tuple[str, ...]) -> dict[str, int]:
    return {operations[0]: 1} if len(operations) == 1 else dict(Counter(operations))


def _fields(story: Story) -> dict[str, Any]:
    fields: dict[str, Any] = {"pkh": story.address}
    if story.client.key_hash:
        fields["client_pkh"] = story.client.key_hash
    if story.entry:
        fields["vault"] = story.entry.vault.label
    return fields | _request_fields(story.request) if story.request else fields


def _request_fields(request: SignRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {"request": request.kind}
    if request.chain_id is not None:
        fields["chain_id"] = request.chain_id
    if request.level is not None:
        fields |= {"lvl": request.level, "round": request.round}
    if request.kind == "generic":
        operations = _tally(request.operations)
        fields |= {"ops": operations, "ops_total": len(operations)}
    return fields
