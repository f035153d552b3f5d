"""Worker threads with one running job a tenant; tenants take turns, and no queue grows without bound."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from tsugiki.errors import Overloaded

log = logging.getLogger(__name__)

TENANT_JOBS = 32  # waiting jobs of one tenant: more of them would only adapt to the same samples again
TOTAL_JOBS = 10_000  # some MiB of memory, and hours of work already
RETRY_AFTER_S = 10  # the time of a few jobs

Run = Callable[[], "float | None"]
"""One attempt at a job: None once the job has ended, else the seconds after which it wants another."""


def bound_waiting(own: int, retry_after_s: int) -> None:
    """`own` jobs of a tenant wait in a lane. Raises Overloaded where they are as many as may."""
    if own >= TENANT_JOBS:
        raise Overloaded(
            f"{own} jobs of this tenant are waiting already, the limit is {TENANT_JOBS}",
            retry_after_s=retry_after_s,
            fix="wait for some of them to end, or cancel them",
        )


class Lane:
    """Runs jobs on `workers` threads. A tenant's jobs run in order and one at a time; tenants take turns job by job.

    A job is a callable that records its own outcome; what it lets escape is logged as a bug and ends only itself.
    While a job waits for another attempt, its tenant's next ones wait behind it, and nobody else does.
    """

    def __init__(self, name: str, workers: int) -> None:
        self._waiting: OrderedDict[str, deque[_Job]] = OrderedDict()  # the tenant served longest ago first
        self._busy: set[str] = set()
        self._held: Counter[str] = Counter()  # ids of jobs that wait or run, as often as they were submitted
        self._closed = False
        self._ready = threading.Condition()
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        with self._ready:
            return sum(len(jobs) for jobs in self._waiting.values())

    def admit(self, tenant_id: str) -> None:
        """Asked before a job is recorded: what is recorded is always taken. Raises Overloaded.

        Callers who ask at the same moment are all admitted, so a bound may be passed by as many as there are threads.
        """
        with self._ready:
            bound_waiting(len(self._waiting.get(tenant_id, ())), RETRY_AFTER_S)
            if sum(len(jobs) for jobs in self._waiting.values()) >= TOTAL_JOBS:
                raise Overloaded(
                    "the service has as many jobs waiting as it may hold",
                    retry_after_s=RETRY_AFTER_S,
                    fix="try again later",
                )

    def holds(self, job_id: str) -> bool:
        """Whether it waits or runs here."""
        with self._ready:
            return job_id in self._held

    def submit(self, tenant_id: str, run: Run, job_id: str = "") -> Future[None]:
        """A future that is done once the job has ended, whatever became of it, or once the lane has closed without.

        `job_id` is what `holds` knows it by.
        """
        job = _Job(job_id, run)
        job.done.set_running_or_notify_cancel()  # a caller that stops waiting does not stop the job
        with self._ready:
            if self._closed:
                job.done.set_result(None)
                return job.done
            self._waiting.setdefault(tenant_id, deque()).append(job)
            self._held[job_id] += 1
            self._ready.notify()
        return job.done

    def close(self) -> None:
        """Wait for what runs, which has to hear of it by itself; what waits is taken up at the next start."""
        with self._ready:
            self._closed = True
            left = [job for jobs in self._waiting.values() for job in jobs]
            self._waiting.clear()
            self._ready.notify_all()
        for job in left:
            job.done.set_result(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (taken := self._next()) is not None:
            pause_s = None
            try:
                pause_s = taken.job.run()
            except Exception:
                log.exception("a job failed without recording it")
            with self._ready:
                self._busy.discard(taken.tenant_id)
                again = pause_s is not None and not self._closed
                if again:
                    self._put_back(taken, time.monotonic() + (pause_s or 0.0))
                else:
                    self._let_go(taken.job.id)
                self._ready.notify_all()
            if not again:
                taken.job.done.set_result(None)

    def _next(self) -> _Taken | None:
        with self._ready:
            while not self._closed:
                now = time.monotonic()
                free = {t: jobs[0].not_before for t, jobs in self._waiting.items() if t not in self._busy}
                tenant_id = next((t for t, not_before in free.items() if not_before <= now), None)
                if tenant_id is not None:
                    self._busy.add(tenant_id)
                    return _Taken(tenant_id, self._pop(tenant_id))
                self._ready.wait(min(free.values()) - now if free else None)
            return None

    def _let_go(self, job_id: str) -> None:
        self._held[job_id] -= 1
        if not self._held[job_id]:
            del self._held[job_id]

    def _put_back(self, taken: _Taken, not_before: float) -> None:
        self._waiting.setdefault(taken.tenant_id, deque()).appendleft(replace(taken.job, not_before=not_before))

    def _pop(self, tenant_id: str) -> _Job:
        jobs = self._waiting[tenant_id]
        job = jobs.popleft()
        if jobs:
            self._waiting.move_to_end(tenant_id)
        else:
            del self._waiting[tenant_id]
        return job


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    id: str
    run: Run
    done: Future[None] = field(default_factory=Future[None])
    not_before: float = 0.0  # of the monotonic clock


@dataclass(frozen=True, slots=True)
class _Taken:
    tenant_id: str
    job: _Job
