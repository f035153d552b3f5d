"""What a running job tells of itself, and how it learns that it must stop."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tsugiki.errors import Cancelled

if TYPE_CHECKING:
    from tsugiki.domain import Json, Phase
    from tsugiki.storage.adaptations import Adaptations

REPORT_EVERY_S = 0.25  # within a phase; a job must not spend its time writing how it goes
CHECK_EVERY_S = 0.2  # a cancelled job stops within a second


class JobProgress:
    """The Progress port over the store. Raises Cancelled once the adaptation was cancelled or taken over."""

    def __init__(self, adaptations: Adaptations, adaptation_id: str, attempt: int) -> None:
        self._adaptations = adaptations
        self._id = adaptation_id
        self._attempt = attempt
        self._phase: Phase | None = None
        self._reported = 0.0
        self._checked = 0.0

    def phase(self, phase: Phase, fraction: float, plan: Json | None = None) -> None:
        now = time.monotonic()
        if phase == self._phase and plan is None and now - self._reported < REPORT_EVERY_S:
            self.check()
            return
        self._adaptations.report(self._id, self._attempt, phase, fraction, plan)
        self._phase, self._reported = phase, now

    def metric(self, name: str, value: float) -> None:
        self._adaptations.add_event(self._id, "metric", {"name": name, "value": value})

    def message(self, text: str) -> None:
        self._adaptations.add_event(self._id, "message", {"text": text})

    def check(self) -> None:
        now = time.monotonic()
        if now - self._checked < CHECK_EVERY_S:
            return
        self._checked = now
        if self._adaptations.is_cancelled(self._id):
            raise Cancelled("the adaptation was cancelled")


class Stopwatch:
    """Milliseconds by name, and in all."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._measured: Json = {}

    @contextmanager
    def measure(self, name: str) -> Generator[None]:
        """Adds up where a name is measured twice."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._measured[name] = self._measured.get(name, 0.0) + _ms_since(started)

    @property
    def timings(self) -> Json:
        return {**self._measured, "total_ms": _ms_since(self._started)}


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
