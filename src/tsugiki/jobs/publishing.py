"""The last phases of an adaptation, for both lanes: evaluated, compared with what is live, published."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.domain import LIVE, GateDecision, NewVersion
from tsugiki.errors import ArtifactCorrupt, Conflict
from tsugiki.evaluation.gate import compare
from tsugiki.evaluation.report import evaluate
from tsugiki.jobs.adapting import Wish
from tsugiki.jobs.pairing import common

if TYPE_CHECKING:
    from tsugiki.domain import Adaptation, Fitted, Ints, Json, Project, Snapshot, Version
    from tsugiki.jobs.adapting import Stores
    from tsugiki.jobs.progress import JobProgress, Stopwatch

HEADLINE = ("held_out", "accuracy", "macro_f1", "log_loss", "ece", "majority_baseline")  # of the evaluation
GATE_ATTEMPTS = 3  # the alias may move while a job runs; then the gate asks again, against the new live version


class Publishing:
    def __init__(
        self, stores: Stores, project: Project, adaptation: Adaptation, progress: JobProgress, watch: Stopwatch
    ) -> None:
        self._registry = stores.registry
        self._project = project
        self._adaptation = adaptation
        self._progress = progress
        self._wish = Wish.read(adaptation.request)
        self._watch = watch

    def evaluate(self, snapshot: Snapshot, fitted: Fitted) -> Json:
        self._progress.phase("evaluate", 0.0)
        with self._watch.measure("evaluate_ms"):
            targets = np.array(snapshot.targets, np.int64)
            return evaluate(fitted.held_out, targets, snapshot.labels, seed=self._wish.seed)

    def publish(self, snapshot: Snapshot, fitted: Fitted, report: Json, follow_up: Json | None = None) -> Version:
        """Ask the gate and publish; again when the alias moved in between, for the gate compared with another."""
        for _ in range(GATE_ATTEMPTS - 1):
            try:
                return self._publish_once(snapshot, fitted, report, follow_up)
            except Conflict as conflict:
                if conflict.reason != "alias_moved":
                    raise
        return self._publish_once(snapshot, fitted, report, follow_up)

    def _publish_once(self, snapshot: Snapshot, fitted: Fitted, report: Json, follow_up: Json | None) -> Version:
        alias = self._registry.alias(self._project.id, LIVE)
        live = None if alias is None else alias.version
        self._progress.phase("gate", 0.0)
        decision = self._gate(live, snapshot, np.array(snapshot.targets, np.int64), fitted)
        self._progress.phase("promote", 0.0)
        guesses = fitted.held_out.probabilities.argmax(axis=1).tolist()
        rows: list[int] = fitted.held_out.rows.tolist()
        held_out = {snapshot.sample_ids[row]: guess for row, guess in zip(rows, guesses, strict=True)}
        new = NewVersion(
            graft=fitted.graft,
            snapshot=snapshot,
            backbone=self._project.backbone,
            evaluation={"report": report, "held_out": held_out},
            metrics={name: report[name] for name in HEADLINE},
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
            )

    def _gate(self, live: int | None, snapshot: Snapshot, targets: Ints, fitted: Fitted) -> GateDecision:
        """The candidate's held-out answers against the live version's own, on the samples both held out."""
        wish = self._wish.promote
        if wish == "never" or (wish == "gate" and self._project.policy.promote == "manual"):
            return GateDecision(False, "promotion was left to you: move the alias to make this version live")
        if wish == "always":
            return GateDecision(True, "promoted as requested, without comparison")
        if live is None:
            return compare(np.zeros(0, np.bool_), None, targets[:0], snapshot.labels)
        version = self._registry.get(self._project.id, live)
        try:
            answers: dict[str, int] = self._registry.evaluation(version)["held_out"]
        except ArtifactCorrupt:
            # Held back for it, the project could never get rid of the damaged version.
            return GateDecision(True, f"the evaluation of version {live} cannot be read: nothing to compare with")
        pairs = common(answers, version.labels, snapshot, targets, fitted)
        return compare(pairs.candidate, pairs.live, pairs.targets, snapshot.labels)
