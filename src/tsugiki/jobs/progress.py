"""What a running job tells of itself, and how it learns that it must stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsugiki.errors import Cancelled
from tsugiki.jobs.attempts import stopped
from tsugiki.observed import UNTRACED

if TYPE_CHECKING:
    from tsugiki.domain import Json, Phase
    from tsugiki.observed import Tracing
    from tsugiki.storage.adaptations import Adaptations

REPORT_EVERY_S = 0.25  # within a phase; a job must not spend its time writing how it goes
CHECK_EVERY_S = 0.2  # a cancelled job stops within a second


@dataclass(frozen=True, slots=True)
class Span:
    """A phase's share of the whole job, of 0..1."""

    start: float
    end: float


# Embedding and fitting take nearly all of the time, each the more of it in some project; the rest is for show.
SPANS: dict[Phase, Span] = {
    "validate": Span(0.0, 0.03),
    "embed": Span(0.03, 0.38),
    "audit": Span(0.38, 0.4),  # after embedding: it reads the features
    "plan": Span(0.4, 0.45),
    "train": Span(0.45, 0.85),
    "calibrate": Span(0.85, 0.9),
    "evaluate": Span(0.9, 0.93),
    "gate": Span(0.93, 0.97),
    "promote": Span(0.97, 1.0),
}


class JobProgress:
    """The Progress port over the store, for one attempt at one adaptation.

    Raises Cancelled once the adaptation was cancelled, Conflict `fenced` once it was taken over, and Stopped once
    `closing` says so.
    """

    def __init__(
        self, adaptations: Adaptations, adaptation_id: str, attempt: int, closing: Callable[[], bool] = lambda: False
    ) -> None:
        self.attempt = attempt
        self._adaptations = adaptations
        self._id = adaptation_id
        self._closing = closing
        self._phase: Phase | None = None
        self._done = 0.0
        self._reported = 0.0
        self._checked = 0.0

    def phase(self, phase: Phase, fraction: float, plan: Json | None = None) -> None:
        """What is told of the whole never falls, also where a phase is entered again."""
        now = time.monotonic()
        if self._closing():
            raise stopped()
        if phase == self._phase and plan is None and now - self._reported < REPORT_EVERY_S:
            self.check()
            return
        span = SPANS[phase]
        self._done = max(self._done, span.start + (span.end - span.start) * fraction)
        self._adaptations.report(self._id, self.attempt, phase, self._done, plan)
        self._phase, self._reported = phase, now

    def metric(self, name: str, value: float) -> None:
        self._adaptations.add_event(self._id, "metric", {"name": name, "value": value})

    def check(self) -> None:
        if self._closing():
            raise stopped()
        now = time.monotonic()
        if now - self._checked < CHECK_EVERY_S:
            return
        self._checked = now
        if self._adaptations.is_cancelled(self._id):
            raise Cancelled("the adaptation was cancelled")


class Stopwatch:
    """Milliseconds by name, and in all; what is measured is a span of `tracing` too."""

    def __init__(self, tracing: Tracing = UNTRACED) -> None:
        self._tracing = tracing
        self._started = time.perf_counter()
        self._measured: Json = {}

    @contextmanager
    def measure(self, name: str) -> Generator[None]:
        """Adds up where a name is measured twice."""
        started = time.perf_counter()
        try:
            with self._tracing.span(name.removesuffix("_ms")):
                yield
        finally:
            self._measured[name] = self._measured.get(name, 0.0) + _ms_since(started)

    def add(self, timings: Json) -> None:
        """What another process measured, its total included."""
        for name, ms in timings.items():
            if name == "total_ms":
                self._started -= ms / 1000
            else:
                self._measured[name] = self._measured.get(name, 0.0) + ms

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self._started

    @property
    def timings(self) -> Json:
        return {**self._measured, "total_ms": _ms_since(self._started)}


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
