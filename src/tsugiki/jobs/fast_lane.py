"""The fast lane: adaptations that run inside the serving process, within a request's patience."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

from tsugiki.errors import Cancelled, Conflict, NotFound, StorageFull, TsugikiError, Unavailable
from tsugiki.jobs.adapting import Attempt, Stores, Tools, Wish
from tsugiki.jobs.attempts import MAX_ATTEMPTS, PAUSES_S, TROUBLE, Stopped
from tsugiki.jobs.lane import Lane
from tsugiki.jobs.profiling import named_labels, profile_of, remembered
from tsugiki.jobs.progress import JobProgress
from tsugiki.jobs.recorder import Recorder

if TYPE_CHECKING:
    from tsugiki.domain import Adaptation, Json, Plan, Project

log = logging.getLogger(__name__)


class FastLane:
    """Runs adaptations, one a tenant at a time; `on_end` hears of each outcome (status, method).

    What a moment's trouble ends is tried again after each of `pauses_s`; what the closing interrupts is queued again.
    """

    def __init__(
        self,
        stores: Stores,
        tools: Tools,
        *,
        workers: int,
        on_end: Callable[[str, str], None],
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._stores = stores
        self._tools = tools
        self._on_end = on_end
        self._pauses_s = pauses_s
        self._recorder = Recorder()
        self._lane = Lane("adapt", workers)

    @property
    def waiting(self) -> int:
        return self._lane.waiting

    def plan(self, backbone: str, request: Json, counts: Mapping[str, int], project: Project | None = None) -> Plan:
        """What would run on so many samples of each label; a project not yet made has declared no labels.

        Raises Invalid when nothing can.
        """
        wish = Wish.read(request)
        space = self._tools.embedder.backbone(backbone).space
        profile = profile_of(counts, space.dim, () if project is None else named_labels(project))
        if self._tools.rates is not None:
            profile = replace(profile, rates=self._tools.rates(backbone))
        if project is not None:
            known = remembered(self._stores.adaptations.last_plan(project.id))
            profile = replace(profile, closeness=known)
        return self._tools.plan(profile, wish.budget, wish.method)

    def admit(self, tenant_id: str) -> None:
        """To be asked before an adaptation is recorded. Raises Overloaded."""
        self._lane.admit(tenant_id)

    def submit(self, project: Project, adaptation: Adaptation) -> Future[None]:
        """Done when the adaptation has ended or, at shutdown, has been left for the next start."""
        return self._lane.submit(project.tenant_id, lambda: self._run(project, adaptation))

    def close(self) -> None:
        self._recorder.close()
        self._lane.close()

    def _run(self, project: Project, adaptation: Adaptation) -> float | None:
        """One attempt; the seconds to wait before another, None when there will be none in this process."""
        try:
            attempt = self._recorder.insist(lambda: self._stores.adaptations.start(adaptation.id))
            if attempt > MAX_ATTEMPTS:
                error = TsugikiError(f"the job ended its process {MAX_ATTEMPTS} times", code="attempts_exhausted")
                self._fail(adaptation, attempt, error, {})
                return None
            return self._attempt(project, adaptation, attempt)
        except (Conflict, NotFound):
            return None  # cancelled, or erased with its project, before it began
        except (StorageFull, Unavailable) as error:
            log.warning("adaptation %s is left to the next start: %s", adaptation.id, error.detail)
            return None  # the recorder gives up only when it is closed

    def _attempt(self, project: Project, adaptation: Adaptation, attempt: int) -> float | None:
        progress = JobProgress(self._stores.adaptations, adaptation.id, attempt, lambda: self._recorder.closed)
        run = Attempt(self._stores, self._tools, project, adaptation, progress)
        try:
            version = run.adapt()
        except Stopped as stop:
            self._put_back(adaptation, attempt, stop.detail, counted=False)
        except TROUBLE as trouble:
            if attempt < MAX_ATTEMPTS:
                log.warning("attempt %d at adaptation %s met trouble: %s", attempt, adaptation.id, trouble.detail)
                return self._put_back(adaptation, attempt, f"{trouble.detail}; it is tried again", counted=True)
            self._fail(adaptation, attempt, trouble, run.timings)
        except TsugikiError as error:
            if isinstance(error, Cancelled) or error.reason == "fenced":
                self._on_end("cancelled", "none")
            else:
                self._fail(adaptation, attempt, error, run.timings)
        except Exception as error:
            log.exception("adaptation %s failed", adaptation.id)
            cause = TsugikiError(f"the adaptation failed ({type(error).__name__}); the service's log has the reason")
            self._fail(adaptation, attempt, cause, run.timings)
        else:
            self._recorder.insist(lambda: self._stores.adaptations.set_timings(adaptation.id, run.timings))
            self._on_end("succeeded", version.method)
        return None

    def _put_back(self, adaptation: Adaptation, attempt: int, why: str, *, counted: bool) -> float | None:
        """The pause before the next attempt, None if the job has ended meanwhile."""
        stores = self._stores
        try:
            self._recorder.insist(lambda: stores.adaptations.put_back(adaptation.id, attempt, why, counted=counted))
        except Conflict:
            self._on_end("cancelled", "none")
            return None
        return self._pauses_s[attempt - 1] if counted else None

    def _fail(self, adaptation: Adaptation, attempt: int, error: TsugikiError, timings: Json) -> None:
        log.warning("adaptation %s failed: %s", adaptation.id, error.reason)
        adaptations = self._stores.adaptations
        try:
            self._recorder.insist(lambda: adaptations.fail(adaptation.id, attempt, error.as_data(), timings))
        except Conflict:
            self._on_end("cancelled", "none")  # or erased with its project, while it was failing
        else:
            self._on_end("failed", "none")
