"""The last phases of an adaptation, for both lanes: evaluated, compared with what is live, published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.folds import HOLDOUT
from tsugiki.domain import LIVE, GateDecision, NewVersion, tell_labels
from tsugiki.errors import ArtifactCorrupt, Conflict
from tsugiki.evaluation.gate import decide
from tsugiki.evaluation.pairing import History, pair
from tsugiki.evaluation.report import evaluate
from tsugiki.evaluation.sets import evaluate_sets
from tsugiki.evaluation.unmeasured import unmeasured
from tsugiki.jobs.adapting import Wish
from tsugiki.jobs.auditing import aside
from tsugiki.jobs.labelling import truth_of

if TYPE_CHECKING:
    from tsugiki.domain import Adaptation, Fitted, HeldOut, Json, MethodName, Policy, Project, Snapshot, Version
    from tsugiki.jobs.adapting import Stores
    from tsugiki.jobs.progress import JobProgress, Stopwatch
    from tsugiki.storage.adaptation_rows import FollowUp
    from tsugiki.storage.samples import LabelledSample

HEADLINE = (  # of the evaluation, as far as it has them
    "held_out",
    "accuracy",
    "micro_f1",
    "macro_f1",
    "example_f1",
    "log_loss",
    "ece",
    "majority_baseline",
)
Answer = int | list[int]  # of a held-out sample, as it is kept: which label, or which ones
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
        self._promoted = False

    @property
    def promoted(self) -> bool:
        """Whether what was published last went live."""
        return self._promoted

    def evaluate(self, snapshot: Snapshot, fitted: Fitted) -> Json:
        """The evaluation report from held-out answers; an empty one (see `unmeasured`) if there are none."""
        self._progress.phase("evaluate", 0.0)
        with self._watch.measure("evaluate_ms"):
            targets = np.array(snapshot.targets, np.int64)
            if not len(fitted.held_out.rows):
                return unmeasured(snapshot.labels, len(targets))
            known = self._samples.facets(self._project.id)
            facets = [known.get(sample, {}) for sample in snapshot.sample_ids] if known else None
            frozen = np.flatnonzero(np.array(snapshot.folds) == HOLDOUT) if snapshot.holdout else None
            held_out, head, seed = fitted.held_out, fitted.graft.head, self._wish.seed
            if head.thresholds is None:
                return evaluate(
                    held_out, targets, snapshot.labels, seed, frozen=frozen, facets=facets, scope=head.scope
                )
            truth, left_out = truth_of(snapshot, head.labels), sorted({*snapshot.labels} - {*head.labels})
            return evaluate_sets(
                held_out,
                truth,
                head.labels,
                head.thresholds,
                seed,
                left_out=left_out,
                frozen=frozen,
                facets=facets,
                scope=head.scope,
            )

    def publish(
        self,
        snapshot: Snapshot,
        rows: Sequence[LabelledSample],
        fitted: Fitted,
        worth: Worth,
        follow_up: FollowUp | None = None,
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
        self, snapshot: Snapshot, groups: Mapping[str, str], fitted: Fitted, worth: Worth, follow_up: FollowUp | None
    ) -> Version:
        # As it is now: its policy may have changed while this job ran, and what was promised since then holds.
        project, version = self._registry.resolve(self._project.tenant_id, self._project.id, LIVE, None)
        live = None if version is None else version.number
        self._progress.phase("gate", 0.0)
        rows: list[int] = fitted.held_out.rows.tolist()
        held_out = {snapshot.sample_ids[row]: one for row, one in zip(rows, _answers(fitted.held_out), strict=True)}
        labels = fitted.graft.head.labels
        history = _history(snapshot, labels, held_out)
        decision = self._gate(project.policy, version, fitted.graft.method, history, groups)
        self._promoted = decision.promoted
        self._progress.phase("promote", 0.0)
        new = NewVersion(
            graft=fitted.graft,
            snapshot=snapshot,
            backbone=self._project.backbone,
            evaluation={"report": worth.report, "audit": worth.audit, "held_out": held_out},
            metrics={name: worth.report[name] for name in HEADLINE if name in worth.report},
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
                aside=aside(project, snapshot, worth.audit),
            )

    def _gate(
        self, policy: Policy, live: Version | None, method: MethodName, candidate: History, groups: Mapping[str, str]
    ) -> GateDecision:
        """The candidate's held-out answers against the live version's own, on the samples both held out."""
        wish = self._wish.promote
        if wish == "never" or (wish == "gate" and policy.promote == "manual"):
            return GateDecision(False, "promotion was left to you: move the alias to make this version live")
        if wish == "always":
            return GateDecision(True, "promoted as requested, without comparison")
        if live is None:
            return decide(None, method, None)
        if method == "zero_shot" and live.method != "zero_shot":
            return GateDecision(
                False, "what is live has learned from samples; names alone replace it only as asked for"
            )
        try:
            answers: dict[str, Answer] = self._registry.evaluation(live)["held_out"]
        except ArtifactCorrupt:
            # Held back for it, the project could never get rid of the damaged version.
            return GateDecision(
                True, f"the evaluation of version {live.number} cannot be read: nothing to compare with"
            )
        history = _history(self._registry.snapshot(live.snapshot), live.labels, answers)
        return decide(pair(history, candidate, groups), method, live.method)


def _answers(held_out: HeldOut) -> list[Answer]:
    """Of each row held out the place of its label, or the places of its labels."""
    if held_out.answers is None:
        return held_out.probabilities.argmax(axis=1).tolist()
    return [np.flatnonzero(row).tolist() for row in held_out.answers]


def _history(snapshot: Snapshot, labels: Sequence[str], held_out: Mapping[str, Answer]) -> History:
    """`labels` are those that the answers index."""

    def told(answer: Answer) -> str:
        return labels[answer] if isinstance(answer, int) else tell_labels(labels[place] for place in answer)

    return History(snapshot.told, {sample: told(answer) for sample, answer in held_out.items()})
