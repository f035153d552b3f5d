"""What an operator watches: counters and gauges with bounded labels, no tenant and no payload among them."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest, values
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from tsugiki.errors import TsugikiError
from tsugiki.observed import JobEnd, Pass

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
JOB_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MOST_CODES = 100  # of refusals; the code has fewer, and what is not written in it must not become a label without end
OTHER = "other"


Gauges = Mapping[str, tuple[str, Callable[[], float]]]
"""Name -> (help, what reads it)."""


class Metrics:
    """Prometheus metrics of one process. `gauges` are read when scraped.

    A gauge whose store is away is NaN then, and takes no other with it.
    """

    def __init__(self, gauges: Gauges) -> None:
        # BentoML asks for values in mapped files, to be shared by workers. On a full disk the first write to a new
        # page of one ends the process (SIGBUS); ours is one process, and its values need no file.
        values.ValueClass = values.MutexValue
        self._registry = registry = CollectorRegistry()
        requests = Counter("tsugiki_requests", "HTTP requests", ["route", "method", "status"], registry=registry)
        seconds = Histogram(
            "tsugiki_request_seconds", "HTTP request time", ["route"], buckets=LATENCY_S, registry=registry
        )
        rows = Counter("tsugiki_prediction_rows", "rows answered", ["outcome"], registry=registry)
        # Finding a series by its labels takes longer than counting in it; there are no more than the labels allow.
        self._requests = cache(requests.labels)
        self._seconds = cache(seconds.labels)
        self._rows = cache(rows.labels)
        self._refusals = Counter("tsugiki_refusals", "problems answered", ["code"], registry=registry)
        self._codes: set[str] = set()
        self._tokens = Counter("tsugiki_prediction_tokens", "tokens of the rows answered", registry=registry)
        self._passes = _Passes(registry)
        self._adaptations = Counter("tsugiki_adaptations", "adaptations ended", ["status", "method"], registry=registry)
        self._adaptation_seconds = Histogram(
            "tsugiki_adaptation_seconds", "time of adaptations", ["method"], buckets=JOB_S, registry=registry
        )
        self._gate = Counter("tsugiki_gate", "versions made, by what the gate said", ["decision"], registry=registry)
        self._exports = Counter("tsugiki_exports", "exports ended", ["status", "precision"], registry=registry)
        self._database_errors = Counter(
            "tsugiki_database_errors", "statements that failed for the database's sake", registry=registry
        )
        ProcessCollector("tsugiki", registry=registry)
        self.add(gauges)

    def add(self, gauges: Gauges) -> None:
        for name, (text, value) in gauges.items():
            Gauge(f"tsugiki_{name}", text, registry=self._registry).set_function(_readable(value))

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """`route` is a path template, never a path."""
        self._requests(route, method, status).inc()
        self._seconds(route).observe(seconds)

    def refusal(self, code: str) -> None:
        if code not in self._codes and len(self._codes) >= MOST_CODES:
            code = OTHER
        self._codes.add(code)
        self._refusals.labels(code).inc()

    def rows(self, outcome: str, count: int) -> None:
        self._rows(outcome).inc(count)

    def tokens(self, count: int) -> None:
        self._tokens.inc(count)

    def passed(self, told: Pass) -> None:
        self._passes.told(told)

    def adaptation(self, end: JobEnd) -> None:
        self._adaptations.labels(end.status, end.method).inc()
        if end.seconds is not None:
            self._adaptation_seconds.labels(end.method).observe(end.seconds)
        if end.promoted is not None:
            self._gate.labels("promoted" if end.promoted else "kept_back").inc()

    def export(self, status: str, precision: str) -> None:
        self._exports.labels(status, precision).inc()

    def database_error(self) -> None:
        self._database_errors.inc()

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)


class _Passes:
    """What batchers do, by backbone and lane."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["backbone", "lane"]
        self._waits = _Tally("tsugiki_queue_seconds", "wait for a pass", labels, LATENCY_S)
        registry.register(self._waits)
        seconds = Histogram("tsugiki_pass_seconds", "time of a pass", labels, buckets=LATENCY_S, registry=registry)
        rows = Histogram("tsugiki_pass_rows", "rows of a pass", labels, buckets=ROWS, registry=registry)
        tokens = Counter("tsugiki_pass_tokens", "tokens of passes, with padding", labels, registry=registry)
        failed = Counter("tsugiki_passes_failed", "passes that an engine failed on", labels, registry=registry)
        self._seconds, self._rows = cache(seconds.labels), cache(rows.labels)
        self._tokens, self._failed = cache(tokens.labels), cache(failed.labels)

    def told(self, told: Pass) -> None:
        labels = (told.backbone, told.lane)
        self._waits.observe(labels, [told.began - waiter.queued for waiter in told.waiters])
        self._seconds(*labels).observe(told.ended - told.began)
        self._rows(*labels).observe(told.rows)
        self._tokens(*labels).inc(told.tokens)
        if told.failed:
            self._failed(*labels).inc()


class _Tally(Collector):
    """A histogram that takes many values at once: to count them one by one took a pass 3 us for each of its rows."""

    def __init__(self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._bounds = bounds
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], list[int]] = {}  # by labels: of each bucket, the last one without an end
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, labels: tuple[str, ...], amounts: Sequence[float]) -> None:
        with self._lock:
            counts = self._counts.setdefault(labels, [0] * (len(self._bounds) + 1))
            for amount in amounts:
                counts[bisect_left(self._bounds, amount)] += 1
            self._sums[labels] = self._sums.get(labels, 0.0) + sum(amounts)

    def describe(self) -> Iterable[HistogramMetricFamily]:
        return [HistogramMetricFamily(self._name, self._text, labels=self._labels)]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        (family,) = self.describe()
        ends = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        with self._lock:
            for labels, counts in self._counts.items():
                family.add_metric(labels, list(zip(ends, accumulate(counts), strict=True)), self._sums[labels])
        return [family]


def _readable(value: Callable[[], float]) -> Callable[[], float]:
    def read() -> float:
        try:
            return value()
        except (TsugikiError, OSError):
            return math.nan

    return read
