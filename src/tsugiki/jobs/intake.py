"""Rows become jobs: a thread that looks for adaptations which wait for the trainer."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tsugiki.jobs.turns import Turns
from tsugiki.storage.looking import Looking

if TYPE_CHECKING:
    from tsugiki.jobs.workflows import Workflows
    from tsugiki.storage.adaptations import Adaptations, Waiting
    from tsugiki.storage.database import Database

LOOK_EVERY_S = 0.05  # asks a number of the database; rows are read only when it has changed
RECOVER_EVERY_S = 2.0  # as long as a dead trainer's work stands still, beside the time until it is taken for dead
TIDY_EVERY_S = 10.0  # ended workflows are some hundred bytes each


class Intake:
    """A row is queued by the transaction that accepts it, so no crash can lose a job between here and there.

    Jobs are handed on one at a time, the next only once the former has begun, because dbos's queue does not keep their
    order.
    """

    def __init__(self, database: Database, adaptations: Adaptations, workflows: Workflows) -> None:
        self._database = database
        self._adaptations = adaptations
        self._workflows = workflows
        self._turns = Turns()
        self._known: set[str] = set()
        self._looking = Looking("intake", "adaptations for the trainer", self._watch)

    def close(self) -> None:
        self._looking.close()

    def _watch(self, closed: threading.Event) -> None:
        """Until closed; ended by what a look raises."""
        with self._database.commits() as commits:
            tidied, recovered, committed = 0.0, 0.0, -1
            while not closed.is_set():
                now = time.monotonic()
                if tidy := now - tidied > TIDY_EVERY_S:
                    # Also what ended without ending its job, by a fault of the file's disk say: it is queued anew.
                    self._known, tidied = self._workflows.waiting(), now
                if now - recovered > RECOVER_EVERY_S:
                    self._workflows.recover()
                    recovered = now
                if committed != (committed := commits()) or tidy:
                    self._look()
                closed.wait(LOOK_EVERY_S)

    def _look(self) -> None:
        # One that had begun before and waits again is put back for a while by its own workflow, which nobody waits for.
        if any(not job.running and not job.begun for job in self._adaptations.unfinished(self._known)):
            return
        jobs = self._adaptations.unfinished()
        for job in jobs:
            if job.running:  # as another trainer's is, or one that its process lost: the same job again is the same
                self._hand_on(job)
        waiting = [job for job in jobs if job.id not in self._known]
        job = self._turns.take(waiting, {job.tenant_id for job in jobs if job.id in self._known})
        if job is not None:
            self._hand_on(job)

    def _hand_on(self, job: Waiting) -> None:
        if job.id not in self._known:
            self._workflows.enqueue(job.tenant_id, job.project_id, job.id)
            self._known.add(job.id)
