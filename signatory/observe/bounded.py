"""Prometheus metrics whose label values cannot grow without end: past a bound they are `other`."""

from collections.abc import Container, Sequence
from typing import Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram

OTHER = "other"

MAX_VALUES = 1000
"""Distinct values of one label of one metric; the next ones count as `other`."""

MAX_CHILDREN = 10_000
"""Time series of one metric; the next ones have every label `other`."""

Metric = TypeVar("Metric", Counter, Gauge, Histogram)


class Bounded(Generic[Metric]):
    """One metric and its children by their label values. A child is made once: `labels()` is slow."""

    def __init__(self, metric: Metric, labels: Sequence[str], reserved: Container[str] = ()) -> None:
        """`reserved` values always stand for themselves, whoever comes first: the configured keys.

        They are the caller's, who may add to them.
        """
        self._metric: Metric = metric
        self._reserved = reserved
        self._seen: tuple[set[str], ...] = tuple(set() for _ in labels)
        self._children: dict[tuple[str, ...], Metric] = {}

    def child(self, *values: str) -> Metric:
        """The child with these label values, or the one that stands for those past the bound."""
        found = self._children.get(values)
        return self._make(values) if found is None else found

    def _make(self, values: tuple[str, ...]) -> Metric:
        values = tuple(self._clamped(*pair) for pair in zip(self._seen, values, strict=True))
        if values not in self._children and len(self._children) >= MAX_CHILDREN:
            values = (OTHER,) * len(values)
        if values not in self._children:
            self._children[values] = self._metric.labels(*values)
        return self._children[values]

    def _clamped(self, seen: set[str], value: str) -> str:
        if value in self._reserved or value in seen:
            return value
        if len(seen) >= MAX_VALUES:
            return OTHER
        seen.add(value)
        return value
