"""One queue for all tenants of a backbone; see `Batcher` for the policy."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from tsugiki.errors import TsugikiError, Unavailable
from tsugiki.observed import Pass, working_for
from tsugiki.runtime.admission import Admission, Asked, Limits
from tsugiki.runtime.mending import EngineLost
from tsugiki.runtime.priority import stand_back
from tsugiki.runtime.queueing import FairQueue, owner_of
from tsugiki.runtime.tickets import Replies, Row, Ticket, deliver, padded, waiters_of

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow, Prepared
    from tsugiki.runtime.route import Route

log = logging.getLogger(__name__)

# While both wait, each eighth pass is BULK's: as its passes are half as long, it costs interactive rows 1/15.
BULK_TURN = 8


class Lane(IntEnum):
    """Whose work goes first: somebody waits for an INTERACTIVE row, a job for a BULK one."""

    INTERACTIVE = 0
    BULK = 1


Passed: TypeAlias = "tuple[Sequence[Floats | TsugikiError], float]"
"""A pass's replies, and the seconds its engine ran."""
Work: TypeAlias = "Callable[[Sequence[InputRow], Sequence[Route | None], bool], Passed]"
"""Runs one pass: its rows as prepared, and their routes -> each row's reply. Rows of a pass are of one kin.

If the last is true, at once: beside the passes that run already, not after one of them.
"""


class Batcher:
    """Rows of many tenants share each pass of one backbone's engine.

    - A pass holds rows of near lengths, at most `Limits.batch_tokens` with padding, and of one kin (see `Kin`). Rows
      without an adapter can join any LoRA pass, but not a pass of a version's own network. Padding and gathering for
      one pass overlap with other passes.
    - Nobody waits for a batch to fill: an idle worker takes what is there, so a lone row runs at once.
    - `ahead`, of an engine that queues: while every worker is busy and a full pass waits, one more thread hands it on.
      The engine begins it the moment another pass ends, not once the interpreter comes to it. What is less than a full
      pass waits for a worker, as more rows may still join.
    - Turns between tenants are fair in tokens (see `FairQueue`), so that no flood delays others by more than a pass;
      nor does it fill the pass that others' rows are in.
    - While no worker is idle and each pass mostly belongs to one tenant, an extra (express) thread runs the other
      tenants' rows, one at a time, at once: none of them is handed on to wait. Otherwise that thread sleeps.
    - INTERACTIVE goes before BULK, but for every `BULK_TURN`th pass: a job must end even if somebody always asks.
    - BULK passes are half as long, and of several workers never hold the last idle one.
    - Queues are bounded, in rows per tenant and in all, and in seconds of the work that goes before a request's last
      row, by the pace of full passes: beyond, `Overloaded` at once, never a longer queue. As turns are fair, another's
      flood is hardly ahead of a small request. A tenant with nothing waiting has twice the seconds.
    - Rows whose caller has left, or whose deadline made it leave, are skipped; they are no work that others wait for.
    - If a pass fails it is halved until only the poison row fails; if the engine is lost, all of it fails.

    `on_pass` hears of each pass, once its replies are out, by the backbone's `name`: from a worker or in the event loop
    of one who waited. `clock` tells seconds.
    `submit` is for threads, `ask` for tasks. Each row carries its immutable route; nothing else says whose it is.
    """

    def __init__(
        self,
        work: Work,
        *,
        workers: int,
        limits: Limits,
        ahead: bool = False,
        express: bool = True,
        name: str = "",
        on_pass: Callable[[Pass], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._work_on = work
        self._clock = clock
        self._name = name
        self._on_pass = on_pass
        self._limits = limits
        self._lanes = {lane: FairQueue() for lane in Lane}
        self._bulk_running = 0
        self._passed_over = 0  # INTERACTIVE passes in a row that BULK waited for
        self._bulk_workers = max(1, workers - 1)
        self._workers = max(1, workers)
        self._ahead = ahead
        self._owners: dict[int, str | None] = {}  # of passes that are out, by thread: the tenant that owns it, or None
        self._admission = Admission(limits)
        self._closed = False
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)  # the workers sleep on it, and the one more
        self._cue = threading.Condition(self._lock)  # the express thread does
        self._threads = [
            threading.Thread(target=self._serve, args=(n,), name=f"engine-{n}", daemon=True)
            for n in range(self._workers + ahead)
        ]
        if express:
            self._threads.append(threading.Thread(target=self._serve_express, name="engine-express", daemon=True))
        for thread in self._threads:
            thread.start()

    def submit(self, tenant_id: str, rows: Sequence[Prepared], route: Route | None, lane: Lane) -> Future[Replies]:
        """Prepared rows -> a future of one reply a row, in order. Raises Overloaded, Unavailable."""
        future: Future[Replies] = Future()
        ticket = Ticket(tenant_id, route, [None] * len(rows), len(rows), future)
        self._queue(ticket, rows, lane)
        future.add_done_callback(lambda done: self._leave(lane, weakref.ref(ticket)) if done.cancelled() else None)
        return future

    def ask(self, tenant_id: str, rows: Sequence[Prepared], route: Route | None, lane: Lane) -> asyncio.Future[Replies]:
        """As `submit`, for the running event loop: to wake it once a pass is cheaper than once a row."""
        future = _Asked(loop=asyncio.get_running_loop())
        ticket = Ticket(tenant_id, route, [None] * len(rows), len(rows), future)
        future.leave = partial(self._leave, lane, weakref.ref(ticket))
        self._queue(ticket, rows, lane)
        return future

    def _queue(self, ticket: Ticket, rows: Sequence[Prepared], lane: Lane) -> None:
        if not rows:
            ticket.future.set_result(ticket.gathered())
            return
        tokens = sum(prepared.size for prepared in rows)
        with self._lock:
            self._admit(lane, Asked(ticket.tenant_id, len(rows), tokens))
            for index, prepared in enumerate(rows):
                self._lanes[lane].push(Row(ticket, index, prepared))
            self._call(len(rows))

    def _leave(self, lane: Lane, ticket: weakref.ref[Ticket]) -> None:
        with self._lock:
            if (waiting := ticket()) is not None:  # else none of its rows is in the queue any more
                self._lanes[lane].leave(waiting)

    def check(self, tenant_id: str, rows: int, lane: Lane, tokens: float = inf) -> None:
        """What `submit` would raise now: asked before rows are prepared, overload is refused for next to nothing.

        How long they are is not known then: they are taken to have `tokens`, or if that is fewer as many as rows that
        wait. Without the lock, which workers hold while they choose a pass: `submit` looks again.
        """
        queue = self._lanes[lane]
        self._admit(lane, Asked(tenant_id, rows, int(min(tokens, rows * queue.tokens / max(1, queue.size)))))

    @property
    def alive(self) -> bool:
        """Whether every worker still runs; a dead one is a bug that only a restart mends."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def waiting(self) -> int:
        """Rows queued and not yet in a pass."""
        with self._lock:
            return sum(queue.size for queue in self._lanes.values())

    def close(self) -> None:
        """Finish what is queued, then end the threads."""
        with self._lock:
            self._closed = True
            self._wake_all()
        for thread in self._threads:
            thread.join()

    def _admit(self, lane: Lane, asked: Asked) -> None:
        if self._closed:
            raise Unavailable("the service is shutting down", fix="send the request to another replica")
        self._admission.admit(self._lanes[lane], asked, timely=lane is Lane.INTERACTIVE)

    def _serve(self, worker: int) -> None:
        stand_back()
        while (batch := self._await(self._ready, self._next_batch, worker)) is not None:
            started = self._clock()
            whole = False
            try:
                whole = self._run(batch.lane, batch.rows)
            finally:
                with self._lock:
                    if whole:
                        beside = max(self._workers, len(self._owners))
                        self._admission.passed(worker, beside, padded(batch.rows), self._clock() - started)
                    self._owners.pop(worker, None)
                    if batch.lane is Lane.BULK:
                        self._bulk_running -= 1
                        self._ready.notify()
                    if self._owned:  # now that the last pass of a tenant's is out, its next row may be express
                        self._cue.notify()

    def _serve_express(self) -> None:
        while (batch := self._await(self._cue, self._next_express, None)) is not None:
            self._run(batch.lane, batch.rows, at_once=True)

    def _await(
        self, condition: threading.Condition, next_batch: Callable[[], _Batch | None], worker: int | None
    ) -> _Batch | None:
        """What `next_batch` finds, once it does; None once the batcher is closed and nothing waits."""
        with self._lock:
            while (batch := next_batch()) is None:
                if self._closed and not any(queue.size for queue in self._lanes.values()):
                    self._wake_all()  # those who found nothing they might take, while others had work
                    return None
                condition.wait()
            if worker is not None:
                self._owners[worker] = owner_of(batch.rows)
                self._call(0)
            return batch

    def _call(self, rows: int) -> None:
        """Wakes who may have something to do, now that so many rows came, or another pass began."""
        idle = self._workers - len(self._owners)
        if idle > 0:
            self._ready.notify(min(rows, idle))
        elif self._ahead and idle == 0 and self._lanes[Lane.INTERACTIVE].fills(self._limits.batch_tokens):
            self._ready.notify()
        if self._owned:
            self._cue.notify()

    @property
    def _busy(self) -> bool:
        """Whether the engine has as many passes as it runs at a time."""
        return len(self._owners) >= self._workers

    @property
    def _express_turn(self) -> bool:
        """Whether it is the turn of a tenant that owns none of the passes, where each of them has an owner."""
        if not self._owned:
            return False
        leader = self._lanes[Lane.INTERACTIVE].leader()
        return leader is not None and leader not in self._owners.values()

    @property
    def _owned(self) -> bool:
        """Whether it is busy with passes that each have an owner: the express thread's cue."""
        return self._busy and None not in self._owners.values()

    def _wake_all(self) -> None:
        self._ready.notify_all()
        self._cue.notify_all()

    def _next_batch(self) -> _Batch | None:
        if self._passed_over >= BULK_TURN - 1 and (batch := self._take_bulk()):
            return batch
        queue, tokens = self._lanes[Lane.INTERACTIVE], self._limits.batch_tokens
        if self._busy and (self._express_turn or not queue.fills(tokens)):
            return None
        if rows := queue.take(tokens):
            self._passed_over += bool(self._lanes[Lane.BULK].size)
            return _Batch(Lane.INTERACTIVE, rows)
        return self._take_bulk()

    def _take_bulk(self) -> _Batch | None:
        if self._bulk_running >= self._bulk_workers:
            return None
        if rows := self._lanes[Lane.BULK].take(self._limits.batch_tokens // 2):
            self._bulk_running += 1
            self._passed_over = 0
            return _Batch(Lane.BULK, rows)
        return None

    def _next_express(self) -> _Batch | None:
        """A single row, where it is its turn."""
        if not self._express_turn:
            return None
        rows = self._lanes[Lane.INTERACTIVE].take(0)
        return _Batch(Lane.INTERACTIVE, rows) if rows else None

    def _run(self, lane: Lane, batch: Sequence[Row], *, at_once: bool = False) -> bool:
        """Whether the pass went through whole."""
        began = time.perf_counter()
        try:
            rows, routes = [row.prepared.row for row in batch], [row.ticket.route for row in batch]
            replies, engine_s = self._work_on(rows, routes, at_once)
        except EngineLost as lost:
            deliver(batch, [lost] * len(batch), 0.0, self._telling(lane, batch, began, failed=True))
            return False
        except Exception:
            # Whatever else a pass raises belongs to some row of it: halve until that row stands alone.
            tell = self._telling(lane, batch, began, failed=True)
            if len(batch) == 1:
                with working_for(batch[0].ticket.origin):
                    log.exception("a pass failed on a single row")
                deliver(batch, [Unavailable("the engine failed on this row")], 0.0, tell)
                return False
            tell()
        else:
            deliver(batch, replies, engine_s, self._telling(lane, batch, began, failed=False))
            return True
        log.warning("a pass of %d rows failed and is halved", len(batch))
        middle = len(batch) // 2
        self._run(lane, batch[:middle], at_once=at_once)
        self._run(lane, batch[middle:], at_once=at_once)
        return False

    def _telling(self, lane: Lane, batch: Sequence[Row], began: float, *, failed: bool) -> Callable[[], None]:
        """What tells `on_pass` of a pass that ends now."""
        ended = time.perf_counter()

        def tell() -> None:
            if self._on_pass is not None:
                told = "interactive" if lane is Lane.INTERACTIVE else "bulk"
                self._on_pass(Pass(self._name, told, waiters_of(batch), padded(batch), began, ended, failed))

        return tell


class _Asked(asyncio.Future[Replies]):
    """A task's. It tells that it was cancelled; a callback would cost those that are not one more turn of the loop."""

    leave: Callable[[], None]

    def cancel(self, msg: object = None) -> bool:
        if not super().cancel(msg):
            return False
        self.leave()
        return True


@dataclass(frozen=True, slots=True)
class _Batch:
    lane: Lane
    rows: Sequence[Row]
