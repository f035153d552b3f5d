"""The fast lane: adaptations that run inside the serving process, within a request's patience."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from tsugiki.errors import Cancelled, Conflict, NotFound, TsugikiError
from tsugiki.jobs.adapting import Attempt, Stores, Tools, Wish, profile_of
from tsugiki.jobs.lane import MAX_ATTEMPTS, Lane
from tsugiki.jobs.recorder import Recorder

if TYPE_CHECKING:
    from tsugiki.domain import Adaptation, Json, Plan, Project

log = logging.getLogger(__name__)


class FastLane:
    """Runs adaptations, one a tenant at a time; `on_end` hears of each outcome (status, method)."""

    def __init__(self, stores: Stores, tools: Tools, *, workers: int, on_end: Callable[[str, str], None]) -> None:
        self._stores = stores
        self._tools = tools
        self._on_end = on_end
        self._recorder = Recorder()
        self._lane = Lane("adapt", workers)

    @property
    def waiting(self) -> int:
        return self._lane.waiting

    def plan(self, backbone: str, request: Json, counts: Mapping[str, int]) -> Plan:
        """What would run on so many samples of each label. Raises Invalid when nothing can."""
        wish = Wish.read(request)
        space = self._tools.embedder.backbone(backbone).space
        return self._tools.plan(profile_of(counts, space.dim), wish.budget, wish.method)

    def submit(self, project: Project, adaptation: Adaptation) -> Future[None]:
        """Done when the adaptation has ended or, at shutdown, has been left for the next start."""
        return self._lane.submit(project.tenant_id, lambda: self._run(project, adaptation))

    def close(self) -> None:
        self._recorder.close()
        self._lane.close()

    def _run(self, project: Project, adaptation: Adaptation) -> None:
        try:
            attempt = self._recorder.insist(lambda: self._stores.adaptations.start(adaptation.id))
        except (Conflict, NotFound):
            return  # cancelled, or erased with its project, before it began
        if attempt > MAX_ATTEMPTS:
            error = TsugikiError(f"the job ended its process {MAX_ATTEMPTS} times", code="attempts_exhausted")
            self._fail(adaptation, attempt, error, {})
            return
        run = Attempt(self._stores, self._tools, project, adaptation, attempt)
        try:
            version = run.adapt()
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

    def _fail(self, adaptation: Adaptation, attempt: int, error: TsugikiError, timings: Json) -> None:
        log.warning("adaptation %s failed: %s", adaptation.id, error.reason)
        problem = {"code": error.reason, "detail": error.detail, "fix": error.fix}
        try:
            self._recorder.insist(lambda: self._stores.adaptations.fail(adaptation.id, attempt, problem, timings))
        except Conflict:
            self._on_end("cancelled", "none")  # or erased with its project, while it was failing
        else:
            self._on_end("failed", "none")
