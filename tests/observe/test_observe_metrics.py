"""Metrics: the reference's names, and label values that cannot grow without end."""

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from signatory.observe.bounded import MAX_CHILDREN, MAX_VALUES, Bounded
from signatory.observe.metrics import Metrics

REFERENCE = {
    "signing_ops",
    "vault_sign_request_duration_milliseconds",
    "vault_sign_request_error",
    "sign_handler_request_duration_milliseconds",
    "sign_handler_requests",
    "consensus_round",
    "policy_violation",
    "watermark_rejection",
    "authentication_failure",
    "watermark_operations",
    "watermark_operation_duration_seconds",
    "watermark_io_operations",
    "watermark_io_latency_seconds",
    "watermark_io_errors",
    "signatory_build_info",
}


def test_every_name_of_the_reference_is_there() -> None:
    text = Metrics().exposition().decode()
    assert {family.name for family in text_string_to_metric_families(text)} >= REFERENCE


def test_values_past_the_bound_are_other_and_the_configured_ones_never() -> None:
    registry = CollectorRegistry()
    bounded = Bounded(Counter("c", "c", ("a", "b"), registry=registry), ("a", "b"), ["tz1mine"])
    for row in range(MAX_VALUES + 50):
        bounded.child(f"value{row}", "x").inc()
    bounded.child("tz1mine", "x").inc()
    values = {sample.labels["a"] for metric in registry.collect() for sample in metric.samples}
    assert len(values) == MAX_VALUES + 2
    assert {"other", "tz1mine"} <= values
    assert registry.get_sample_value("c_total", {"a": "other", "b": "x"}) == 50


def test_requests_without_an_address_are_never_counted_as_other() -> None:
    metrics = Metrics()
    for row in range(MAX_VALUES):
        metrics.handler_requests.child(f"tz1{row}", "403").inc()
    metrics.handler_requests.child("unknown", "400").inc()
    labels = {"address": "unknown", "status": "400"}
    assert metrics.registry.get_sample_value("sign_handler_requests_total", labels) == 1


def test_the_number_of_series_is_bounded_too() -> None:
    bounded = Bounded(Counter("c", "c", ("a", "b"), registry=CollectorRegistry()), ("a", "b"))
    for row in range(MAX_CHILDREN + 500):
        bounded.child(f"{row % 900}", f"{row // 900}").inc()
    assert len(bounded._children) == MAX_CHILDREN + 1


def test_whole_numbers_are_written_as_go_writes_them() -> None:
    metrics = Metrics()
    metrics.handler_duration.child("tz1", "200").observe(7)
    metrics.signing_ops.child("1.0", "v", "o", "k", "c").inc(2)
    text = metrics.exposition().decode()
    assert 'sign_handler_request_duration_milliseconds_bucket{address="tz1",le="10",status="200"} 1\n' in text
    assert 'signing_ops_total{address="1.0",chain_id="c",kind="k",op="o",vault="v"} 2\n' in text
