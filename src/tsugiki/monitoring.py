"""What an operator watches: counters and gauges with bounded labels, no tenant and no payload among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Prometheus metrics of one process. `gauges` are read when scraped: name -> (help, value)."""

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        # BentoML asks for values in mapped files, to be shared by workers. On a full disk the first write to a new
        # page of one ends the process (SIGBUS); ours is one process, and its values need no file.
        values.ValueClass = values.MutexValue
        self._registry = CollectorRegistry()
        requests = Counter("tsugiki_requests", "HTTP requests", ["route", "method", "status"], registry=self._registry)
        seconds = Histogram(
            "tsugiki_request_seconds", "HTTP request time", ["route"], buckets=LATENCY_S, registry=self._registry
        )
        rows = Counter("tsugiki_prediction_rows", "rows answered", ["outcome"], registry=self._registry)
        # Finding a series by its labels takes longer than counting in it; there are no more than the labels allow.
        self._requests = cache(requests.labels)
        self._seconds = cache(seconds.labels)
        self._rows = cache(rows.labels)
        self._tokens = Counter("tsugiki_prediction_tokens", "tokens of the rows answered", registry=self._registry)
        self._adaptations = Counter(
            "tsugiki_adaptations", "adaptations ended", ["status", "method"], registry=self._registry
        )
        for name, (text, value) in gauges.items():
            Gauge(f"tsugiki_{name}", text, registry=self._registry).set_function(value)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """`route` is a path template, never a path."""
        self._requests(route, method, status).inc()
        self._seconds(route).observe(seconds)

    def rows(self, outcome: str, count: int) -> None:
        self._rows(outcome).inc(count)

    def tokens(self, count: int) -> None:
        self._tokens.inc(count)

    def adaptation(self, status: str, method: str) -> None:
        self._adaptations.labels(status, method).inc()

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)
