"""What may wait in one queue, and what is refused at once: bounded in rows, and in seconds of the work ahead."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from tsugiki.errors import Overloaded

if TYPE_CHECKING:
    from tsugiki.runtime.queueing import FairQueue

FULL = 0.5  # of the budget: smaller passes say little of what the engine can do
SMOOTHING = 0.1  # of each full pass in the pace: ten passes, some tenths of a second, until a change is seen


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one batcher. Token budgets count padding, because the engine does."""

    batch_tokens: int = 256  # of a pass; the engine says what it needs (Engine.pass_tokens)
    tenant_rows: int = 4_096  # waiting rows of one tenant before it is told 429
    total_rows: int = 32_768
    wait_s: float = 1.0  # of work ahead of a tenant with rows waiting before it is told 429; twice that of any other


class Asked(NamedTuple):
    """A request, as far as its place in a queue is concerned."""

    tenant_id: str
    rows: int
    tokens: int


class Admission:
    """Keeps `limits`, by the pace of passes beside one another. Not thread-safe."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._warm: set[int] = set()  # threads whose first full pass is done: in it libraries begin lazily
        self._paced = 0  # passes in the pace
        self._pace: float | None = None  # tokens a second of all passes together; None before any full one

    def passed(self, thread: int, beside: int, tokens: int, seconds: float) -> None:
        """A pass of so many tokens, with padding: one of as many at a time as `beside` tells, itself among them."""
        if tokens < FULL * self._limits.batch_tokens:
            return
        if thread in self._warm:
            self._paced += 1
            known, pace = self._pace or 0.0, beside * tokens / seconds
            self._pace = known + max(SMOOTHING, 1 / self._paced) * (pace - known)
        self._warm.add(thread)

    def admit(self, queue: FairQueue, asked: Asked, *, timely: bool) -> None:
        """Raises Overloaded where the queue has no room for it; an empty one takes any request whole.

        `timely` where somebody waits for the answer: then what is ahead is bounded in seconds too.
        """
        waiting = queue.of(asked.tenant_id)
        if waiting.rows and waiting.rows + asked.rows > self._limits.tenant_rows:
            raise Overloaded(
                f"{waiting.rows} rows of this tenant are waiting already, the limit is {self._limits.tenant_rows}",
                fix="send fewer requests at a time",
            )
        if queue.size and queue.size + asked.rows > self._limits.total_rows:
            raise Overloaded("the service has as many rows waiting as it may hold", fix="try again shortly")
        if timely and self._pace is not None:
            most = self._pace * (self._limits.wait_s if waiting.tokens else 2 * self._limits.wait_s)
            # Of all that waits no more can be ahead: mostly nothing else is asked.
            if queue.tokens > most and (ahead := queue.ahead(asked.tenant_id, asked.tokens)) > most:
                wait_s = ahead / self._pace
                raise Overloaded(
                    f"{wait_s:.1f} s of work are waiting already", fix="try again later", retry_after_s=ceil(wait_s)
                )
