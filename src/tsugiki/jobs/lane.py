"""Worker threads with one running job a tenant, first come first served among tenants."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

log = logging.getLogger(__name__)


class Lane:
    """Runs jobs on `workers` threads. A tenant's jobs run in order and one at a time, so none waits behind another's.

    A job is a callable that records its own outcome; what it lets escape is logged as a bug and ends only itself.
    """

    def __init__(self, name: str, workers: int) -> None:
        self._waiting: deque[_Job] = deque()
        self._busy: set[str] = set()
        self._closed = False
        self._ready = threading.Condition()
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def submit(self, tenant_id: str, run: Callable[[], None]) -> Future[None]:
        """A future that is done once the job has run, whatever became of it."""
        job = _Job(tenant_id, run)
        with self._ready:
            self._waiting.append(job)
            self._ready.notify()
        return job.done

    def close(self) -> None:
        """Let running jobs finish; waiting ones stay recorded as queued and are taken up at the next start."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job.run()
            except Exception:
                log.exception("a job failed without recording it")
            with self._ready:
                self._busy.discard(job.tenant_id)
                self._ready.notify_all()
            job.done.set_result(None)

    def _next(self) -> _Job | None:
        with self._ready:
            while not self._closed:
                for job in self._waiting:
                    if job.tenant_id not in self._busy:
                        self._waiting.remove(job)
                        self._busy.add(job.tenant_id)
                        return job
                self._ready.wait()
            return None


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    tenant_id: str
    run: Callable[[], None]
    done: Future[None] = field(default_factory=Future[None])
