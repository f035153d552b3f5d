"""The last phases of an adaptation, for both lanes: evaluated, compared with what is live, published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.folds import HOLDOUT
from tsugiki.domain import LIVE, GateDecision, NewVersion
from tsugiki.errors import ArtifactCorrupt, Conflict
from tsugiki.evaluation.gate import decide
from tsugiki.evaluation.pairing import History, pair
from tsugiki.evaluation.report import evaluate
from tsugiki.evaluation.unmeasured import unmeasured
from tsugiki.jobs.adapting import Wish
from tsugiki.jobs.auditing import aside

if TYPE_CHECKING:
    from tsugiki.domain import Adaptation, Fitted, Json, MethodName, Project, Snapshot, Version
    from tsugiki.jobs.adapting import Stores
    from tsugiki.jobs.progress import JobProgress, Stopwatch
    from tsugiki.storage.samples import LabelledSample

HEADLINE = ("held_out", "accuracy", "macro_f1", "log_loss", "ece", "majority_baseline")  # of the evaluation
GATE_ATTEMPTS = 3  # the alias may move while a job runs; then the gate asks again, against the new live version


@dataclass(frozen=True, slots=True)
class Worth:
    """What is kept with a version of how good it is, and of what was wrong with its samples."""

    report: Json
    audit: Json


class Publishing:
    """Sets aside, with a version's publication, what the project's policy says of the audit's findings."""

    def __init__(
        self, stores: Stores, project: Project, adaptation: Adaptation, progress: JobProgress, watch: Stopwatch
    ) -> None:
        self._samples = stores.samples
        self._registry = stores.registry
        self._project = project
        self._adaptation = adaptation
        self._progress = progress
        self._wish = Wish.read(adaptation.request)
        self._watch = watch

    def evaluate(self, snapshot: Snapshot, fitted: Fitted) -> Json:
        """The report of what was answered held out; of nothing but emptiness where nothing was."""
        self._progress.phase("evaluate", 0.0)
        with self._watch.measure("evaluate_ms"):
            targets = np.array(snapshot.targets, np.int64)
            if not len(fitted.held_out.rows):
                return unmeasured(snapshot.labels, len(targets))
            facets = self._samples.facets(self._project.id)
            return evaluate(
                fitted.held_out,
                targets,
                snapshot.labels,
                seed=self._wish.seed,
                frozen=np.flatnonzero(np.array(snapshot.folds) == HOLDOUT) if snapshot.holdout else None,
                facets=[facets.get(sample, {}) for sample in snapshot.sample_ids] if facets else None,
                scope=fitted.graft.head.scope,
            )

    def publish(
        self,
        snapshot: Snapshot,
        rows: Sequence[LabelledSample],
        fitted: Fitted,
        worth: Worth,
        follow_up: Json | None = None,
    ) -> Version:
        """`rows` are the snapshot's samples, as far as they are still there.

        Ask the gate and publish; again when the alias moved in between, for the gate compared with another.
        """
        groups = {row.id: row.group for row in rows}
        return self._insist(lambda: self._publish_once(snapshot, groups, fitted, worth, follow_up))

    def _insist(self, publish: Callable[[], Version]) -> Version:
        for _ in range(GATE_ATTEMPTS - 1):
            try:
                return publish()
            except Conflict as conflict:
                if conflict.reason != "alias_moved":
                    raise
        return publish()

    def _publish_once(
        self, snapshot: Snapshot, groups: Mapping[str, str], fitted: Fitted, worth: Worth, follow_up: Json | None
    ) -> Version:
        alias = self._registry.alias(self._project.id, LIVE)
        live = None if alias is None else alias.version
        self._progress.phase("gate", 0.0)
        guesses = fitted.held_out.probabilities.argmax(axis=1).tolist()
        rows: list[int] = fitted.held_out.rows.tolist()
        held_out = {snapshot.sample_ids[row]: guess for row, guess in zip(rows, guesses, strict=True)}
        decision = self._gate(live, fitted.graft.method, _history(snapshot, held_out), groups)
        self._progress.phase("promote", 0.0)
        new = NewVersion(
            graft=fitted.graft,
            snapshot=snapshot,
            backbone=self._project.backbone,
            evaluation={**asdict(worth), "held_out": held_out},
            metrics={name: worth.report[name] for name in HEADLINE},
            lineage={
                "adaptation": self._adaptation.id,
                "parent": live,
                "snapshot_digest": snapshot.digest,
                "details": fitted.graft.details,
            },
        )
        with self._watch.measure("publish_ms"):
            return self._registry.publish(
                self._project.id,
                new,
                adaptation_id=self._adaptation.id,
                attempt=self._progress.attempt,
                promote_to=LIVE if decision.promoted else None,
                expected=live,
                gate=asdict(decision),
                timings=self._watch.timings,
                actor=self._adaptation.id,
                follow_up=follow_up,
                aside=aside(self._project, snapshot, worth.audit),
            )

    def _gate(
        self, live: int | None, method: MethodName, candidate: History, groups: Mapping[str, str]
    ) -> GateDecision:
        """The candidate's held-out answers against the live version's own, on the samples both held out."""
        wish = self._wish.promote
        if wish == "never" or (wish == "gate" and self._project.policy.promote == "manual"):
            return GateDecision(False, "promotion was left to you: move the alias to make this version live")
        if wish == "always":
            return GateDecision(True, "promoted as requested, without comparison")
        if live is None:
            return decide(None, method, None)
        version = self._registry.get(self._project.id, live)
        if method == "zero_shot" and version.method != "zero_shot":
            return GateDecision(
                False, "what is live has learned from samples; names alone replace it only as asked for"
            )
        try:
            answers: dict[str, int] = self._registry.evaluation(version)["held_out"]
        except ArtifactCorrupt:
            # Held back for it, the project could never get rid of the damaged version.
            return GateDecision(True, f"the evaluation of version {live} cannot be read: nothing to compare with")
        history = _history(self._registry.snapshot(version.snapshot), answers)
        return decide(pair(history, candidate, groups), method, version.method)


def _history(snapshot: Snapshot, held_out: Mapping[str, int]) -> History:
    return History(snapshot.told, {sample: snapshot.labels[answer] for sample, answer in held_out.items()})
