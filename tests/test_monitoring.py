"""Metrics: what is counted many at a time reads like what Prometheus's own client counts one by one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from tsugiki.monitoring import LATENCY_S, Metrics
from tsugiki.observed import NOBODY, Pass, Waiter

BEGAN = 100.0
WAITS = (0.0, 0.0005, 0.001, 0.0011, 0.02, 0.3, 59.9, 60.0, 61.0)  # on, beside and beyond the buckets' ends


def series(exposition: bytes) -> set[str]:
    """Of the waits, without the time they began to be counted at."""
    return {
        line for line in exposition.decode().splitlines() if "tsugiki_queue_seconds" in line and "_created" not in line
    }


def test_waits_are_told_as_a_histogram_of_the_library_tells_them() -> None:
    metrics, registry = Metrics({}), CollectorRegistry()
    labels = ["backbone", "lane"]
    library = Histogram("tsugiki_queue_seconds", "wait for a pass", labels, buckets=LATENCY_S, registry=registry)
    for part in (WAITS[:4], WAITS[4:]):
        waiters = tuple(Waiter(NOBODY, 1, BEGAN - wait) for wait in part)
        metrics.passed(Pass("minilm-en", "interactive", waiters, 8, BEGAN, BEGAN + 1, failed=False))
        for waiter in waiters:
            library.labels("minilm-en", "interactive").observe(BEGAN - waiter.queued)
    told = series(metrics.exposition())
    assert told == series(generate_latest(registry))
    assert 'tsugiki_queue_seconds_count{backbone="minilm-en",lane="interactive"} 9.0' in told
