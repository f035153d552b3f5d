"""The fast lane: adaptations that run inside the serving process, within a request's patience."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

from tsugiki.errors import StorageFull, Unavailable
from tsugiki.jobs.adapting import Phases, Stores, Tools, Wish
from tsugiki.jobs.attempts import PAUSES_S
from tsugiki.jobs.deep_lane import DEEP
from tsugiki.jobs.lane import Lane
from tsugiki.jobs.ledger import Ledger
from tsugiki.jobs.profiling import named_labels, profile_of, remembered, with_rates
from tsugiki.jobs.progress import Stopwatch
from tsugiki.jobs.publishing import Publishing, Worth

if TYPE_CHECKING:
    from tsugiki.domain import Adaptation, Json, Plan, Project, Task
    from tsugiki.observed import JobEnd

log = logging.getLogger(__name__)


class FastLane:
    """Runs adaptations, one a tenant at a time; `on_end` hears of each outcome.

    What a moment's trouble ends is tried again after each of `pauses_s`; what the closing interrupts is queued again.
    """

    def __init__(
        self,
        stores: Stores,
        tools: Tools,
        *,
        workers: int,
        on_end: Callable[[JobEnd], None],
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._stores = stores
        self._tools = tools
        self._ledger = Ledger(stores.adaptations, on_end, pauses_s)
        self._lane = Lane("adapt", workers)

    @property
    def waiting(self) -> int:
        return self._lane.waiting

    def plan(
        self, backbone: str, request: Json, counts: Mapping[str, int], task: Task, project: Project | None = None
    ) -> Plan:
        """What would run on so many samples of each label; a project not yet made has declared no labels.

        Raises Invalid when nothing can.
        """
        wish = Wish.read(request)
        outside = self._tools.embedder.backbone(backbone)
        declared = () if project is None else named_labels(project)
        profile = profile_of(counts, outside.space, declared, task, outside.modality)
        rates = self._tools.rates
        profile = with_rates(profile, None if rates is None else rates(backbone))
        if project is not None:
            known = remembered(self._stores.adaptations.last_plan(project.id))
            profile = replace(profile, closeness=known)
        plan = self._tools.plan(profile, wish.budget, wish.method, wish.hyperparameters)
        if project is None or self._tools.choose is None:
            return plan
        return replace(plan, reasons=(*plan.reasons, *self._tools.choose.ahead(project)))

    def admit(self, tenant_id: str) -> None:
        """To be asked before an adaptation is recorded. Raises Overloaded."""
        self._lane.admit(tenant_id)

    def submit(self, project: Project, adaptation: Adaptation) -> Future[None]:
        """Done when the adaptation has ended or, at shutdown, has been left for the next start."""

        def run() -> float | None:
            with self._tools.tracing.job("adaptation", adaptation.id, adaptation.asked):
                return self._run(project, adaptation)

        return self._lane.submit(project.tenant_id, run, adaptation.id)

    def holds(self, adaptation_id: str) -> bool:
        """Whether it waits or runs here."""
        return self._lane.holds(adaptation_id)

    def close(self) -> None:
        self._ledger.close()
        self._lane.close()

    def _run(self, project: Project, adaptation: Adaptation) -> float | None:
        """One attempt; the seconds to wait before another, None when there will be none in this process."""
        try:
            return self._attempt(project, adaptation)
        except (StorageFull, Unavailable) as error:
            log.warning("adaptation %s is left to the next start: %s", adaptation.id, error.detail)
            return None  # the ledger gives up only when it is closed

    def _attempt(self, project: Project, adaptation: Adaptation) -> float | None:
        progress = self._ledger.begin(adaptation)
        if progress is None:
            return None
        watch = Stopwatch(self._tools.tracing)
        phases = Phases(self._stores, self._tools, project, adaptation, progress, watch)
        try:
            rows = phases.rows()
            project = phases.choose(rows)
            plan = phases.plan(rows)
            if plan.chosen in DEEP:  # there are other samples by now than when it was accepted
                self._stores.adaptations.put_back(
                    adaptation.id, progress.attempt, "it is the trainer's to run", counted=False, for_trainer=True
                )
                return None
            features = phases.embed(rows)
            near = phases.audit(features)
            phases.tell(plan, rows)
            snapshot = phases.cut(rows, near)
            data = phases.data(plan, snapshot, rows, features)
            fitted = phases.train(plan.chosen, data)
            publishing = Publishing(self._stores, project, adaptation, progress, watch)
            report = publishing.evaluate(snapshot, fitted)
            worth = Worth(report, phases.findings(rows, snapshot, near, fitted))
            plan = phases.look_further(plan, data, report)
            version = publishing.publish(snapshot, rows, fitted, worth, phases.follow_up(plan))
        except Exception as error:
            return self._ledger.failed(adaptation, progress.attempt, error, watch.timings)
        self._ledger.succeeded(adaptation, version, watch.timings, promoted=publishing.promoted)
        return None
