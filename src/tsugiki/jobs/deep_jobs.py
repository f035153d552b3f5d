"""The deep lane as the trainer runs it: each phase is a step that is done once, in however many processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never, get_args

from tsugiki.data.audit import search
from tsugiki.errors import NotFound, StorageFull, Unavailable
from tsugiki.jobs.adapting import Phases
from tsugiki.jobs.attempts import PAUSES_S, Stopped
from tsugiki.jobs.ledger import Ledger
from tsugiki.jobs.progress import Stopwatch
from tsugiki.jobs.publishing import Publishing, Worth

if TYPE_CHECKING:
    from tsugiki.domain import Adaptation, Json, Project, Snapshot
    from tsugiki.jobs.adapting import Stores, Tools
    from tsugiki.jobs.progress import JobProgress
    from tsugiki.observed import JobEnd
    from tsugiki.storage.projects import Projects
    from tsugiki.storage.samples import LabelledSample
    from tsugiki.storage.unfinished import Unfinished

STOP_S = 8.0  # a method looks every second whether to stop; what has not by then is ended with its process

StepName = Literal["validate", "embed", "plan", "train", "promote"]
Step = Callable[[StepName, Callable[[], "Json"]], "Json"]
"""Does a step unless it was done before, and tells what it returned then. Nothing of a tenant's may be returned."""


class Left(BaseException):
    """The process ends; the job stays where it is. Not an Exception: nobody may take it for the outcome of a step."""


@dataclass(slots=True)
class _Job:
    project: Project
    adaptation: Adaptation
    progress: JobProgress
    watch: Stopwatch
    before: Json | None = None  # what the steps done in former processes took


class DeepJobs:
    """`on_end` hears of each outcome. What an ended process was at is begun again.

    A step resumes from what is stored: features slice by slice, the snapshot once cut, the graft once trained. So a
    kill costs at most the running step, or one slice of embedding.
    """

    def __init__(
        self,
        stores: Stores,
        unfinished: Unfinished,
        projects: Projects,
        tools: Tools,
        *,
        on_end: Callable[[JobEnd], None],
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._stores = stores
        self._unfinished = unfinished
        self._projects = projects
        self._tools = tools
        self._ledger = Ledger(stores.adaptations, on_end, pauses_s)
        self._running = 0
        self._changed = threading.Condition()

    def run(self, project_id: str, adaptation_id: str, step: Step) -> None:
        """All of an adaptation, in the calling thread. Returns once it has ended. Raises Left, and lets it be then."""
        with self._changed:
            self._running += 1
        try:
            found = self._found(project_id, adaptation_id)
            if found is not None:
                project, adaptation = found
                with self._tools.tracing.job("adaptation", adaptation_id, adaptation.asked):
                    self._run(project, adaptation, step)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Put what runs back to the queue; waits for it."""
        self._ledger.close()
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0, STOP_S)

    def _found(self, project_id: str, adaptation_id: str) -> tuple[Project, Adaptation] | None:
        """None where they were erased while it waited."""
        try:
            project = self._projects.owned(project_id)
            return project, self._stores.adaptations.get(project.tenant_id, adaptation_id)
        except NotFound:
            return None

    def _run(self, project: Project, adaptation: Adaptation, step: Step) -> None:
        # No step: a process that takes the job up has to be told from the one it was taken from, and to be counted.
        progress = self._begin(adaptation)
        if progress is None:
            return
        job = _Job(project, adaptation, progress, Stopwatch(self._tools.tracing))
        for name in get_args(StepName):
            ran: list[StepName] = []

            def do(name: StepName = name, ran: list[StepName] = ran) -> Json:
                ran.append(name)
                return self._do(job, name)

            told = step(name, do)
            if told["ended"]:
                return
            if not ran:
                job.before = told["timings"]

    def _do(self, job: _Job, name: StepName) -> Json:
        """Attempts at one step, until it is done or the job has ended."""
        if job.before is not None:
            job.watch.add(job.before)
            job.before = None
        while True:
            try:
                self._phase(job, name)
            except Exception as error:
                if self._over(job, error):
                    return {"ended": True}
            else:
                return {"ended": name == "promote", "timings": job.watch.timings}

    def _over(self, job: _Job, error: Exception) -> bool:
        """Whether the job has ended by it. Waits before another attempt, and begins it. Raises Left."""
        try:
            pause_s = self._ledger.failed(job.adaptation, job.progress.attempt, error, job.watch.timings)
        except (StorageFull, Unavailable):
            raise Left from None  # the ledger gives up only when it is closed
        if isinstance(error, Stopped) or (pause_s is not None and self._ledger.wait(pause_s)):
            raise Left
        progress = None if pause_s is None else self._begin(job.adaptation)
        job.progress = progress or job.progress
        return progress is None

    def _begin(self, adaptation: Adaptation) -> JobProgress | None:
        progress = self._ledger.begin(adaptation)
        if progress is None and self._ledger.closed:
            raise Left
        return progress

    def _phase(self, job: _Job, name: StepName) -> None:
        phases = Phases(self._stores, self._tools, job.project, job.adaptation, job.progress, job.watch)
        match name:
            case "validate":
                rows = phases.rows()
                job.project = phases.choose(rows)
                phases.plan(rows)  # before anything is computed for what cannot run
            case "embed":
                self._embed(job, phases)
            case "plan":
                rows = self._rows(job, phases)
                phases.choose(rows)
                phases.tell(phases.plan(rows), rows)
            case "train":
                self._train(job, phases)
            case "promote":
                self._promote(job, phases)
            case _:
                assert_never(name)

    def _embed(self, job: _Job, phases: Phases) -> None:
        """Samples that came meanwhile are not in the snapshot."""
        if self._unfinished.snapshot(job.project.id, job.adaptation.id) is None:
            rows = phases.rows()
            near = phases.audit(phases.embed(rows))
            self._unfinished.keep_snapshot(phases.cut(rows, near), job.adaptation.id, job.progress.attempt)

    def _train(self, job: _Job, phases: Phases) -> None:
        if self._unfinished.fitted(job.project.id, job.adaptation.id) is not None:
            return
        rows = self._rows(job, phases)
        plan = phases.plan(rows)
        snapshot, features = self._snapshot(job), phases.features(rows)
        fitted = phases.train(plan.chosen, phases.data(plan, snapshot, rows, features))
        # Now, while all samples of the snapshot are there. Who is near whom was told when the folds were cut.
        near = search(features, job.project.modality, lambda done: job.progress.check())
        found = phases.findings(rows, snapshot, near, fitted)
        self._unfinished.keep_fitted(job.project.id, fitted, found, job.adaptation.id, job.progress.attempt)

    def _promote(self, job: _Job, phases: Phases) -> None:
        fitted = self._unfinished.fitted(job.project.id, job.adaptation.id)
        found = self._unfinished.findings(job.project.id, job.adaptation.id)
        assert fitted is not None and found is not None, "a step came before the one it follows: this is a bug"
        publishing = Publishing(self._stores, job.project, job.adaptation, job.progress, job.watch)
        snapshot = self._snapshot(job)
        worth = Worth(publishing.evaluate(snapshot, fitted), found)
        version = publishing.publish(snapshot, phases.rows(), fitted, worth)
        self._ledger.succeeded(job.adaptation, version, job.watch.timings, promoted=publishing.promoted)

    def _snapshot(self, job: _Job) -> Snapshot:
        snapshot = self._unfinished.snapshot(job.project.id, job.adaptation.id)
        assert snapshot is not None, "a step came before the one it follows: this is a bug"
        return snapshot

    def _rows(self, job: _Job, phases: Phases) -> list[LabelledSample]:
        """The snapshot's samples, in its order; it is cut anew where some of them are gone since."""
        snapshot = self._snapshot(job)
        rows = phases.rows()
        known = {row.id: row for row in rows}
        if known.keys() >= set(snapshot.sample_ids):
            return [known[sample_id] for sample_id in snapshot.sample_ids]
        phases.plan(rows)
        near = phases.audit(phases.features(rows))
        self._unfinished.keep_snapshot(phases.cut(rows, near), job.adaptation.id, job.progress.attempt)
        return rows
