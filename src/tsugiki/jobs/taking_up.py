"""Jobs whose process is gone go on in this one: at its start, and whenever another one ends."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from tsugiki.domain import Adaptation
from tsugiki.errors import NotFound, TsugikiError

if TYPE_CHECKING:
    from tsugiki.domain import Export
    from tsugiki.jobs.exporting import Exporting
    from tsugiki.jobs.fast_lane import FastLane
    from tsugiki.storage.adaptations import Adaptations
    from tsugiki.storage.exports import Exports
    from tsugiki.storage.idempotency import Idempotency
    from tsugiki.storage.presence import Present
    from tsugiki.storage.projects import Projects

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0  # five reads of small indexes; a job whose process was killed stands still no longer than this


class TakingUp:
    """A look at the start, and a thread that looks again. A job has one owner at any time, so no two run it.

    This process's own jobs are resubmitted as well if two looks in a row find them in no lane: either the row was
    committed but never submitted, or the lane dropped the job without recording how it ended.

    Jobs of a live process are left alone. At the first look, jobs under this process's own number belong to an earlier
    process and are taken over; later they are its own.
    """

    def __init__(
        self,
        presence: Present,
        projects: Projects,
        adaptations: Adaptations,
        exports: Exports,
        idempotency: Idempotency,
        fast_lane: FastLane,
        exporting: Exporting,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._presence = presence
        self._projects = projects
        self._adaptations = adaptations
        self._exports = exports
        self._idempotency = idempotency
        self._fast_lane = fast_lane
        self._exporting = exporting
        self._look_every_s = look_every_s
        self._strays: frozenset[str] = frozenset()  # that were in no lane by the last look
        self._taken: deque[Adaptation | Export] = deque()  # this process's, and in no lane yet
        self._closed = threading.Event()
        self._look(frozenset())
        self._thread = threading.Thread(target=self._run, name="taking-up", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(self._look_every_s):
            try:
                self._look(frozenset({self._presence.number}))
            except TsugikiError as error:
                log.warning("jobs of ended processes cannot be looked for now: %s", error.detail)
            except Exception:
                log.exception("jobs of ended processes cannot be looked for now")

    def _look(self, own: frozenset[int]) -> None:
        owners = self._adaptations.owners() | self._exports.owners() | self._idempotency.owners()
        if owners - own:
            # Nobody comes by a number meanwhile: whoever is gone here stays gone until its jobs are taken.
            with self._presence.turn():
                mine = owners & {self._presence.number}
                self._take(self._presence.gone(owners - mine) | (mine - own))
        while self._taken:
            self._submit(self._taken[0])
            self._taken.popleft()
        self._take_strays()

    def _take_strays(self) -> None:
        jobs = [job for job in self._adaptations.unfinished() if not self._fast_lane.holds(job.id)]
        exports = [export for export in self._exports.unfinished() if not self._exporting.holds(export.id)]
        strays = frozenset(job.id for job in (*jobs, *exports))
        for job in jobs:
            if job.id in self._strays:
                self._submit(self._adaptations.get(job.tenant_id, job.id))
        for export in exports:
            if export.id in self._strays:
                self._submit(export)
        self._strays = strays

    def _take(self, gone: frozenset[int]) -> None:
        if gone:
            self._idempotency.reset(gone)
            self._taken += self._adaptations.take_over(gone)
            self._taken += self._exports.take_over(gone)

    def _submit(self, job: Adaptation | Export) -> None:
        try:
            project = self._projects.owned(job.project_id)
        except NotFound:
            return  # erased meanwhile, and the job with it
        log.info("%s goes on here", job.id)
        if isinstance(job, Adaptation):
            self._fast_lane.submit(project, job)
        else:
            self._exporting.submit(project, job)
