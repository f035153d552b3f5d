"""What a running job tells of itself, and how it learns that it must stop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tsugiki.errors import Cancelled, StorageFull, Unavailable
from tsugiki.jobs.attempts import stopped
from tsugiki.observed import UNTRACED

if TYPE_CHECKING:
    from tsugiki.domain import Json, Phase
    from tsugiki.observed import Tracing
    from tsugiki.storage.adaptations import Adaptations

log = logging.getLogger(__name__)
T = TypeVar("T")

REPORT_EVERY_S = 0.25  # within a phase; a job must not spend its time writing how it goes
CHECK_EVERY_S = 0.2  # a cancelled job stops within a second
OUTAGE_S = 120.0  # a store may be away without ending what trains: a database restarts, or changes over, within it
LOOK_AGAIN_S = 2.0  # while it is away: each look may wait for seconds, and meanwhile nothing is trained


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
    `closing` says so. Raises StorageFull and Unavailable once the store was away for `outage_s`, and at once where a
    plan is told: what is begun anew then has cost little. Until then it is looked for every `again_s`, and what was to
    be told meanwhile is not.
    """

    def __init__(
        self,
        adaptations: Adaptations,
        adaptation_id: str,
        attempt: int,
        closing: Callable[[], bool] = lambda: False,
        outage_s: float = OUTAGE_S,
        again_s: float = LOOK_AGAIN_S,
    ) -> None:
        self.attempt = attempt
        self._adaptations = adaptations
        self._id = adaptation_id
        self._closing = closing
        self._outage_s = outage_s
        self._again_s = again_s
        self._away: float | None = None  # since when the store is
        self._again = 0.0  # when it is looked for, since it was away
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

        def report() -> None:
            self._adaptations.report(self._id, self.attempt, phase, self._done, plan)

        if plan is None:
            self._try(report)
        else:
            report()
        self._phase, self._reported = phase, now

    def metric(self, name: str, value: float) -> None:
        self._try(lambda: self._adaptations.add_event(self._id, "metric", {"name": name, "value": value}))

    def check(self) -> None:
        if self._closing():
            raise stopped()
        now = time.monotonic()
        if now - self._checked < CHECK_EVERY_S:
            return
        self._checked = now
        if self._try(lambda: self._adaptations.is_cancelled(self._id)):
            raise Cancelled("the adaptation was cancelled")

    def _try(self, ask: Callable[[], T]) -> T | None:
        """What the store answers; None while it is away. What is published is fenced, so nothing hangs on it."""
        now = time.monotonic()
        if now < self._again:
            return None
        try:
            answer = ask()
        except (StorageFull, Unavailable) as trouble:
            self._away = now if self._away is None else self._away
            failed = time.monotonic()
            if failed - self._away >= self._outage_s:
                raise
            self._again = failed + self._again_s  # also where reading goes on, and the disk is full
            log.warning("adaptation %s goes on while its store is away: %s", self._id, trouble.detail)
            return None
        self._away = None
        return answer


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
