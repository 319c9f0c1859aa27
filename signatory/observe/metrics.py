"""Signatory's metrics, by its names, labels and buckets. Source: signatory-compat §8."""

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from signatory.observe.bounded import Bounded

UNKNOWN = "unknown"
"""The address of a request whose path holds none."""

MILLISECONDS = (10, 100, 1_000, 10_000, 100_000)
MARK_SECONDS = tuple(0.001 * 2**step for step in range(10))
IO_SECONDS = tuple(0.0001 * 2**step for step in range(14))

_WHOLE_NUMBERS = re.compile(rb'(?m)(le="\d+|[ ]-?\d+)\.0(?="|$)')

# Two series per counter that Signatory does not have.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no annotation here


class Metrics:
    """Every metric of one daemon, on its own registry. `addresses`: the configured keys, never `other`."""

    def __init__(self, addresses: Iterable[str] = ()) -> None:
        self.registry = CollectorRegistry()
        self._addresses = {UNKNOWN, *addresses}
        ProcessCollector(registry=self.registry)
        self._signing()
        self._handler()
        self._refusals()
        self._watermark()
        self._build_info()

    def admit(self, addresses: Iterable[str]) -> None:
        """These keys too are never `other`: a configuration that was read again has them."""
        self._addresses |= set(addresses)

    def exposition(self) -> bytes:
        """The text format, with whole numbers written as Go writes them."""
        return _WHOLE_NUMBERS.sub(rb"\1", generate_latest(self.registry))

    def _signing(self) -> None:
        self.signing_ops = self._counter(
            "signing_ops_total",
            "Total number of signing operations completed.",
            ("address", "vault", "op", "kind", "chain_id"),
        )
        self.vault_duration = self._histogram(
            "vault_sign_request_duration_milliseconds",
            "Vaults signing requests latencies in milliseconds",
            ("vault", "address", "op", "chain_id"),
            MILLISECONDS,
        )
        self.vault_errors = self._counter(
            "vault_sign_request_error_total",
            "Vaults signing requests error count",
            ("vault", "code", "chain_id"),
        )
        self.consensus_round = self._counter(
            "consensus_round_total",
            "Number of signed consensus operations by round",
            ("address", "operation_type", "chain_id", "round"),
        )

    def _handler(self) -> None:
        self.handler_duration = self._histogram(
            "sign_handler_request_duration_milliseconds",
            "Sign handler request latencies in milliseconds",
            ("address", "status"),
            MILLISECONDS,
        )
        self.handler_requests = self._counter(
            "sign_handler_requests_total", "Total number of sign handler requests", ("address", "status")
        )

    def _refusals(self) -> None:
        self.policy_violations = self._counter(
            "policy_violation_total",
            "Total number of policy violations",
            ("violation_type", "address", "operation_type"),
        )
        self.watermark_rejections = self._counter(
            "watermark_rejection_total",
            "Total number of watermark rejections",
            ("address", "operation_type", "chain_id", "reason"),
        )
        self.authentication_failures = self._counter(
            "authentication_failure_total",
            "Total number of authentication failures",
            ("status", "auth_method", "client_ip"),
        )
        self.logins = self._counter("login_requests_total", "Total number of requests to log in", ("status",))

    def _watermark(self) -> None:
        self.watermark_operations = self._counter(
            "watermark_operations_total",
            "Total number of watermark operations",
            ("result", "backend", "request_type"),
        )
        self.watermark_duration = self._histogram(
            "watermark_operation_duration_seconds",
            "Watermark operation duration in seconds",
            ("backend",),
            MARK_SECONDS,
        )
        self.watermark_io = self._counter(
            "watermark_io_operations_total",
            "Total number of watermark I/O operations",
            ("backend", "operation", "table_name", "result"),
        )
        self.watermark_io_latency = self._histogram(
            "watermark_io_latency_seconds",
            "Watermark I/O latency in seconds",
            ("backend", "operation", "table_name"),
            IO_SECONDS,
        )
        self.watermark_io_errors = self._counter(
            "watermark_io_errors_total",
            "Total number of watermark I/O errors",
            ("backend", "error_type", "table_name", "operation"),
        )

    def _build_info(self) -> None:
        labels = ("path", "version", "checksum", "revision", "branch")
        info = Gauge("signatory_build_info", "Build information", labels, registry=self.registry)
        unknown = "(unknown)"
        info.labels("signatory-vault", _version(), unknown, unknown, unknown).set(1)

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> Bounded[Counter]:
        metric = Counter(name, text, labels, registry=self.registry)
        return Bounded(metric, labels, self._addresses)

    def _histogram(
        self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]
    ) -> Bounded[Histogram]:
        metric = Histogram(name, text, labels, registry=self.registry, buckets=buckets)
        return Bounded(metric, labels, self._addresses)


def _version() -> str:
    try:
        return version("signatory-vault")
    except PackageNotFoundError:
        return "(unknown)"
