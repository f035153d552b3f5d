"""Worker threads with one running job a tenant; tenants take turns."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3  # a job that took the process down this often is given up


class Lane:
    """Runs jobs on `workers` threads. A tenant's jobs run in order and one at a time; tenants take turns job by job.

    A job is a callable that records its own outcome; what it lets escape is logged as a bug and ends only itself.
    """

    def __init__(self, name: str, workers: int) -> None:
        self._waiting: OrderedDict[str, deque[_Job]] = OrderedDict()  # the tenant served longest ago first
        self._busy: set[str] = set()
        self._closed = False
        self._ready = threading.Condition()
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        with self._ready:
            return sum(len(jobs) for jobs in self._waiting.values())

    def submit(self, tenant_id: str, run: Callable[[], None]) -> Future[None]:
        """A future that is done once the job has run, whatever became of it, or once the lane has closed without."""
        job = _Job(run)
        job.done.set_running_or_notify_cancel()  # a caller that stops waiting does not stop the job
        with self._ready:
            if self._closed:
                job.done.set_result(None)
                return job.done
            self._waiting.setdefault(tenant_id, deque()).append(job)
            self._ready.notify()
        return job.done

    def close(self) -> None:
        """Let running jobs finish; waiting ones stay recorded as queued and are taken up at the next start."""
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
            try:
                taken.job.run()
            except Exception:
                log.exception("a job failed without recording it")
            with self._ready:
                self._busy.discard(taken.tenant_id)
                self._ready.notify_all()
            taken.job.done.set_result(None)

    def _next(self) -> _Taken | None:
        with self._ready:
            while not self._closed:
                tenant_id = next((tenant_id for tenant_id in self._waiting if tenant_id not in self._busy), None)
                if tenant_id is not None:
                    self._busy.add(tenant_id)
                    return _Taken(tenant_id, self._pop(tenant_id))
                self._ready.wait()
            return None

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
    run: Callable[[], None]
    done: Future[None] = field(default_factory=Future[None])


@dataclass(frozen=True, slots=True)
class _Taken:
    tenant_id: str
    job: _Job
