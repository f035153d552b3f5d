"""One queue for all tenants of a backbone; see `Batcher` for the policy."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from tsugiki.errors import Overloaded, TsugikiError, Unavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tsugiki.domain import Floats
    from tsugiki.ports import Engine
    from tsugiki.runtime.route import Route

log = logging.getLogger(__name__)

# Tokens; from 8 on, steps of at most 1.5 keep padding under a third.
BUCKETS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
# While both wait, each eighth pass is BULK's: at 256 tokens of 512 it costs interactive rows 1/15 of the engine.
BULK_TURN = 8


class Lane(IntEnum):
    """Whose work goes first: somebody waits for an INTERACTIVE row, a job for a BULK one."""

    INTERACTIVE = 0
    BULK = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one batcher. Token budgets count padding, because the engine does."""

    batch_tokens: int = 512  # 128 to 512 gave 214-231 texts/s, 1,024 gave 197-206 and passes twice as long
    bulk_batch_tokens: int = 256  # what an interactive row may have to wait for behind a job's pass
    tenant_rows: int = 4_096  # waiting rows of one tenant before it is told 429
    total_rows: int = 32_768


Answer: TypeAlias = "Callable[[Sequence[Route | None], Floats], Sequence[Floats | TsugikiError]]"
"""Turns a pass's features (rows, dim) into each row's reply: the feature itself, or its route's probabilities."""


class Batcher:
    """Rows of many tenants share each pass of one backbone's engine.

    - A pass holds rows of one length bucket, at most `Limits.batch_tokens` with padding.
    - Nobody waits for a batch to fill: an idle worker takes what is there, so a lone row runs at once.
    - Tenants take turns: the one that was served longest ago says by its oldest row which bucket goes next, so that no
      flood of one length delays a row of another. Within a bucket the turns go row by row, and its rows cost the same.
    - INTERACTIVE goes before BULK, but for every `BULK_TURN`th pass: a job must end even if somebody always asks.
    - Of several workers BULK never holds the last idle one; a lone worker has only its short passes to wait for.
    - Queues are bounded per tenant and in all: beyond, `Overloaded` at once, never a longer queue.
    - Rows whose caller has left are skipped. If a pass fails it is halved until only the poison row fails.

    `submit` may be called from any thread. Each row carries its immutable route; nothing else says whose it is.
    """

    def __init__(self, engine: Engine, answer: Answer, *, workers: int, limits: Limits) -> None:
        self._engine = engine
        self._answer = answer
        self._limits = limits
        self._lanes = {lane: _Queue() for lane in Lane}
        self._bulk_running = 0
        self._passed_over = 0  # INTERACTIVE passes in a row that BULK waited for
        self._bulk_workers = max(1, workers - 1)
        self._closed = False
        self._ready = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"engine-{n}", daemon=True) for n in range(max(1, workers))
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, tenant_id: str, rows: Sequence[NDArray[np.int64]], route: Route | None, lane: Lane
    ) -> Future[list[Floats | TsugikiError]]:
        """Token ids of each row -> a future of one reply a row, in order. Raises Overloaded, Unavailable."""
        ticket = _Ticket(tenant_id, route, lane, [None] * len(rows), len(rows))
        if not rows:
            ticket.future.set_result([])
            return ticket.future
        with self._ready:
            if self._closed:
                raise Unavailable("the service is shutting down", fix="send the request to another replica")
            queue = self._lanes[lane]
            self._admit(queue, tenant_id, len(rows))
            for index, ids in enumerate(rows):
                queue.push(_Row(ticket, index, ids))
            self._ready.notify(len(rows))
        return ticket.future

    @property
    def alive(self) -> bool:
        """Whether every worker still runs; a dead one is a bug that only a restart mends."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def waiting(self) -> int:
        """Rows queued and not yet in a pass."""
        with self._ready:
            return sum(queue.size for queue in self._lanes.values())

    def close(self) -> None:
        """Finish what is queued, then end the workers."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        for thread in self._threads:
            thread.join()

    def _admit(self, queue: _Queue, tenant_id: str, rows: int) -> None:
        waiting = queue.by_tenant.get(tenant_id, 0)
        if waiting and waiting + rows > self._limits.tenant_rows:
            raise Overloaded(
                f"{waiting} rows of this tenant are waiting already, the limit is {self._limits.tenant_rows}",
                fix="send fewer requests at a time",
            )
        if queue.size and queue.size + rows > self._limits.total_rows:
            raise Overloaded("the service has as many rows waiting as it may hold", fix="try again shortly")

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            lane = batch[0].ticket.lane
            try:
                self._run(batch)
            finally:
                if lane is Lane.BULK:
                    with self._ready:
                        self._bulk_running -= 1
                        self._ready.notify()

    def _next_batch(self) -> list[_Row] | None:
        with self._ready:
            while True:
                if self._passed_over >= BULK_TURN - 1 and (batch := self._take_bulk()):
                    return batch
                if batch := self._lanes[Lane.INTERACTIVE].take(self._limits.batch_tokens):
                    self._passed_over += bool(self._lanes[Lane.BULK].size)
                    return batch
                if batch := self._take_bulk():
                    return batch
                if self._closed and not any(queue.size for queue in self._lanes.values()):
                    return None
                self._ready.wait()

    def _take_bulk(self) -> list[_Row]:
        if self._bulk_running >= self._bulk_workers:
            return []
        if batch := self._lanes[Lane.BULK].take(self._limits.bulk_batch_tokens):
            self._bulk_running += 1
            self._passed_over = 0
        return batch

    def _run(self, batch: Sequence[_Row]) -> None:
        try:
            features = self._engine.run([row.ids for row in batch])
            replies = self._answer([row.ticket.route for row in batch], features)
        except Exception:
            # Whatever a pass raises belongs to some row of it: halve until that row stands alone.
            if len(batch) == 1:
                log.exception("a pass failed on a single row")
                batch[0].ticket.deliver(batch[0].index, Unavailable("the engine failed on this row"))
                return
            replies = None
        if replies is None:
            log.warning("a pass of %d rows failed and is halved", len(batch))
            middle = len(batch) // 2
            self._run(batch[:middle])
            self._run(batch[middle:])
            return
        for row, reply in zip(batch, replies, strict=True):
            row.ticket.deliver(row.index, reply)


@dataclass(slots=True, eq=False)
class _Ticket:
    """One caller's rows: replies are gathered here until none is missing. Several workers may deliver at once."""

    tenant_id: str
    route: Route | None
    lane: Lane
    replies: list[Floats | TsugikiError | None]
    missing: int
    future: Future[list[Floats | TsugikiError]] = field(default_factory=Future["list[Floats | TsugikiError]"])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def deliver(self, index: int, reply: Floats | TsugikiError) -> None:
        with self.lock:
            self.replies[index] = reply
            self.missing -= 1
            done = self.missing == 0
        if done and self.future.set_running_or_notify_cancel():
            self.future.set_result([reply for reply in self.replies if reply is not None])


@dataclass(frozen=True, slots=True)
class _Row:
    ticket: _Ticket
    index: int
    ids: NDArray[np.int64]


class _Queue:
    """One lane's rows by length bucket, then tenant in turn order. Guarded by the batcher's condition."""

    def __init__(self) -> None:
        self.size = 0
        self.by_tenant: OrderedDict[str, int] = OrderedDict()  # rows waiting, the tenant served longest ago first
        self._arrivals = 0
        self._buckets: dict[int, OrderedDict[str, deque[tuple[int, _Row]]]] = {}

    def push(self, row: _Row) -> None:
        tenant_id = row.ticket.tenant_id
        bucket = self._buckets.setdefault(bucket_of(len(row.ids)), OrderedDict())
        bucket.setdefault(tenant_id, deque()).append((self._arrivals, row))
        self._arrivals += 1
        self.size += 1
        self.by_tenant[tenant_id] = self.by_tenant.get(tenant_id, 0) + 1

    def take(self, tokens: int) -> list[_Row]:
        """The next pass's rows; empty when nothing waits."""
        while self.by_tenant:
            tenant_id = next(iter(self.by_tenant))
            waiting = [(rows[tenant_id][0][0], length) for length, rows in self._buckets.items() if tenant_id in rows]
            length = min(waiting)[1]
            self._buckets[length].move_to_end(tenant_id, last=False)
            if batch := self._take_from(length, max(1, tokens // length)):
                return batch
        return []

    def _take_from(self, length: int, limit: int) -> list[_Row]:
        tenants = self._buckets[length]
        batch: list[_Row] = []
        while tenants and len(batch) < limit:
            tenant_id, rows = next(iter(tenants.items()))
            _, row = rows.popleft()
            self._forget(tenant_id)
            if rows:
                tenants.move_to_end(tenant_id)
            else:
                del tenants[tenant_id]
            if not row.ticket.future.cancelled():
                batch.append(row)
        if not tenants:
            del self._buckets[length]
        return batch

    def _forget(self, tenant_id: str) -> None:
        self.size -= 1
        self.by_tenant[tenant_id] -= 1
        if self.by_tenant[tenant_id]:
            self.by_tenant.move_to_end(tenant_id)
        else:
            del self.by_tenant[tenant_id]


def bucket_of(tokens: int) -> int:
    """The padded length a row is batched at: 13 -> 16; beyond the last bucket, itself."""
    return next((bucket for bucket in BUCKETS if tokens <= bucket), tokens)
