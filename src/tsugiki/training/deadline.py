"""Time that is left, by a clock that is handed in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Deadline:
    """`at` is a reading of the clock, in seconds; None: there is none."""

    at: float | None
    clock: Clock = field(default=time.monotonic)

    @staticmethod
    def after(seconds: float | None, clock: Clock = time.monotonic) -> Deadline:
        return Deadline(None if seconds is None else clock() + seconds, clock)

    @property
    def left_s(self) -> float:
        """Infinite where there is no deadline; never negative."""
        return float("inf") if self.at is None else max(0.0, self.at - self.clock())

    def part(self, share: float) -> Deadline:
        """The same clock, until `share` of what is left."""
        return self if self.at is None else Deadline(self.clock() + share * self.left_s, self.clock)

    def before(self, seconds: float) -> Deadline:
        """The same, earlier by that much."""
        return self if self.at is None else Deadline(self.at - seconds, self.clock)
