"""One attempt at one adaptation: labelled samples in, a published version out, phase by phase."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tsugiki.data.audit import fold_groups
from tsugiki.data.folds import assign_folds
from tsugiki.domain import LIVE, Budget, GateDecision, NewVersion, Profile, Snapshot, TrainingSet
from tsugiki.errors import ArtifactCorrupt, Conflict
from tsugiki.evaluation.gate import compare
from tsugiki.evaluation.report import evaluate
from tsugiki.jobs import auditing
from tsugiki.jobs.pairing import common
from tsugiki.jobs.progress import Stopwatch

if TYPE_CHECKING:
    from tsugiki.data.audit import Neighbours
    from tsugiki.domain import Adaptation, Fitted, Floats, Json, MethodName, Plan, Project, Promotion, Version
    from tsugiki.jobs.progress import JobProgress
    from tsugiki.ports import Embedder, Method
    from tsugiki.storage.adaptations import Adaptations
    from tsugiki.storage.features import Features
    from tsugiki.storage.registry import Registry
    from tsugiki.storage.samples import LabelledSample, Samples

EMBED_ROWS = 256  # some tens of passes: a second of work between two looks at whether to stop, and all a crash loses
HEADLINE = ("held_out", "accuracy", "macro_f1", "log_loss", "ece", "majority_baseline")  # of the evaluation
GATE_ATTEMPTS = 3  # the alias may move while a job runs; then the gate asks again, against the new live version

Planner = Callable[[Profile, Budget, "MethodName | Literal['auto']"], "Plan"]


@dataclass(frozen=True, slots=True)
class Stores:
    """What an adaptation reads and writes."""

    adaptations: Adaptations
    samples: Samples
    features: Features
    registry: Registry
    new_snapshot_id: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller asked for, read from the job's request."""

    method: MethodName | Literal["auto"]
    promote: Promotion
    budget: Budget
    seed: int

    @staticmethod
    def read(request: Json) -> Wish:
        budget: Json = request.get("budget") or {}
        hyperparameters: Json = request.get("hyperparameters") or {}
        return Wish(
            request["method"], request["promote"], Budget(budget.get("seconds")), int(hyperparameters.get("seed", 0))
        )


@dataclass(frozen=True, slots=True)
class Tools:
    """What an adaptation works with; the methods are handed in, the core imports none."""

    embedder: Embedder
    methods: Mapping[MethodName, Method]
    plan: Planner


class Attempt:
    """The phases in order. `progress.attempt` is the fencing token: a newer start makes this one's writes fail."""

    def __init__(
        self, stores: Stores, tools: Tools, project: Project, adaptation: Adaptation, progress: JobProgress
    ) -> None:
        self._stores = stores
        self._tools = tools
        self._project = project
        self._adaptation = adaptation
        self._progress = progress
        self._wish = Wish.read(adaptation.request)
        self._watch = Stopwatch()

    @property
    def timings(self) -> Json:
        return self._watch.timings

    def adapt(self) -> Version:
        wish = self._wish
        rows = self._stores.samples.labelled(self._project.id)
        backbone = self._tools.embedder.backbone(self._project.backbone)
        counts: dict[str, int] = {}
        for row in rows:
            counts[row.label] = counts.get(row.label, 0) + 1
        plan = self._tools.plan(profile_of(counts, backbone.space.dim), wish.budget, wish.method)
        self._progress.phase("embed", 0.0)
        with self._watch.measure("embed_ms"):
            features = self._features(rows, backbone.space.id)
        self._progress.phase("audit", 0.0)
        with self._watch.measure("audit_ms"):
            near = auditing.neighbours(features, self._progress)
        self._progress.phase("plan", 0.0, plan=asdict(plan))
        snapshot = self._snapshot(rows, near, wish.seed)
        data = TrainingSet(
            feature_space=backbone.space.id,
            features=features,
            targets=np.array(snapshot.targets, np.int64),
            folds=np.array(snapshot.folds, np.int64),
            labels=snapshot.labels,
            seed=wish.seed,
        )
        self._progress.phase("train", 0.0)
        with self._watch.measure("fit_ms"):
            fitted = self._tools.methods[plan.chosen].fit(backbone, data, self._left(wish.budget), self._progress)
        self._progress.phase("evaluate", 0.0)
        with self._watch.measure("evaluate_ms"):
            report = evaluate(fitted.held_out, data.targets, data.labels, seed=data.seed)
        with self._watch.measure("audit_ms"):
            found = auditing.report(self._stores.samples, rows, snapshot, near, backbone, fitted, self._progress)
        version = self._publish(snapshot, data, fitted, {"report": report, "audit": found})
        auditing.quarantine(self._stores.samples, self._project, snapshot, found)
        return version

    def _left(self, budget: Budget) -> Budget:
        """What embedding has left of it: perhaps nothing, and then a method does the least it can."""
        return Budget(None if budget.seconds is None else max(0.0, budget.seconds - self._watch.elapsed_s))

    def _features(self, rows: Sequence[LabelledSample], space_id: str) -> Floats:
        """Features of the rows, in their order: stored ones read, new ones computed and stored slice by slice."""
        known = self._stores.features.load(self._project.id, space_id)
        index = {sample_id: row for row, sample_id in enumerate(known.sample_ids)}
        matrices = [known.matrix] if index else []
        missing = [row for row in rows if row.id not in index]
        for start in range(0, len(missing), EMBED_ROWS):
            part = missing[start : start + EMBED_ROWS]
            contents = [row.content for row in part]
            fresh = self._tools.embedder.embed(self._project.tenant_id, self._project.backbone, contents)
            self._stores.features.save(space_id, [row.id for row in part], fresh)
            index |= {row.id: len(index) + number for number, row in enumerate(part)}
            matrices.append(fresh)
            self._progress.phase("embed", (start + len(part)) / len(missing))
        return np.concatenate(matrices)[[index[row.id] for row in rows]]

    def _snapshot(self, rows: Sequence[LabelledSample], near: Neighbours, seed: int) -> Snapshot:
        labels = tuple(sorted({row.label for row in rows}))
        number = {label: index for index, label in enumerate(labels)}
        targets = np.array([number[row.label] for row in rows], np.int64)
        groups = fold_groups([row.group for row in rows], targets, near)
        folds = assign_folds(targets, groups, seed=seed)
        return Snapshot(
            id=self._stores.new_snapshot_id(),
            project_id=self._project.id,
            sample_ids=tuple(row.id for row in rows),
            labels=labels,
            targets=tuple(targets.tolist()),
            folds=tuple(folds.tolist()),
        )

    def _publish(self, snapshot: Snapshot, data: TrainingSet, fitted: Fitted, worth: Json) -> Version:
        """Ask the gate and publish; again when the alias moved in between, for the gate compared with another."""
        for _ in range(GATE_ATTEMPTS - 1):
            try:
                return self._publish_once(snapshot, data, fitted, worth)
            except Conflict as conflict:
                if conflict.reason != "alias_moved":
                    raise
        return self._publish_once(snapshot, data, fitted, worth)

    def _publish_once(self, snapshot: Snapshot, data: TrainingSet, fitted: Fitted, worth: Json) -> Version:
        alias = self._stores.registry.alias(self._project.id, LIVE)
        live = None if alias is None else alias.version
        self._progress.phase("gate", 0.0)
        decision = self._gate(live, snapshot, data, fitted)
        self._progress.phase("promote", 0.0)
        guesses = fitted.held_out.probabilities.argmax(axis=1).tolist()
        rows: list[int] = fitted.held_out.rows.tolist()
        held_out = {snapshot.sample_ids[row]: guess for row, guess in zip(rows, guesses, strict=True)}
        new = NewVersion(
            graft=fitted.graft,
            snapshot=snapshot,
            backbone=self._project.backbone,
            evaluation={**worth, "held_out": held_out},
            metrics={name: worth["report"][name] for name in HEADLINE},
            lineage={
                "adaptation": self._adaptation.id,
                "parent": live,
                "snapshot_digest": snapshot.digest,
                "details": fitted.graft.details,
            },
        )
        with self._watch.measure("publish_ms"):
            return self._stores.registry.publish(
                self._project.id,
                new,
                adaptation_id=self._adaptation.id,
                attempt=self._progress.attempt,
                promote_to=LIVE if decision.promoted else None,
                expected=live,
                gate=asdict(decision),
                timings=self._watch.timings,
                actor=self._adaptation.id,
            )

    def _gate(self, live: int | None, snapshot: Snapshot, data: TrainingSet, fitted: Fitted) -> GateDecision:
        """The candidate's held-out answers against the live version's own, on the samples both held out."""
        wish = self._wish.promote
        if wish == "never" or (wish == "gate" and self._project.policy.promote == "manual"):
            return GateDecision(False, "promotion was left to you: move the alias to make this version live")
        if wish == "always":
            return GateDecision(True, "promoted as requested, without comparison")
        if live is None:
            return compare(np.zeros(0, np.bool_), None, data.targets[:0], data.labels)
        version = self._stores.registry.get(self._project.id, live)
        try:
            answers: dict[str, int] = self._stores.registry.evaluation(version)["held_out"]
        except ArtifactCorrupt:
            # Held back for it, the project could never get rid of the damaged version.
            return GateDecision(True, f"the evaluation of version {live} cannot be read: nothing to compare with")
        pairs = common(answers, version.labels, snapshot, data.targets, fitted)
        return compare(pairs.candidate, pairs.live, pairs.targets, data.labels)


def profile_of(counts: Mapping[str, int], dim: int) -> Profile:
    """`{"billing": 12, "delivery": 8}` -> 20 samples, 2 labels, 8 to 12 a label."""
    sizes = list(counts.values())
    return Profile(sum(sizes), len(sizes), min(sizes, default=0), max(sizes, default=0), dim)
