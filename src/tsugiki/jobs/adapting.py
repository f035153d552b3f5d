"""One attempt at one adaptation: labelled samples in, a published version out, phase by phase."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tsugiki.data.folds import assign_folds
from tsugiki.domain import LIVE, Budget, GateDecision, NewVersion, Profile, Snapshot, TrainingSet
from tsugiki.errors import Conflict
from tsugiki.evaluation.gate import compare
from tsugiki.evaluation.report import evaluate
from tsugiki.jobs.pairing import common
from tsugiki.jobs.progress import JobProgress, Stopwatch

if TYPE_CHECKING:
    from tsugiki.domain import Adaptation, Fitted, Floats, Json, MethodName, Plan, Project, Version
    from tsugiki.ports import Embedder, Method
    from tsugiki.storage.adaptations import Adaptations
    from tsugiki.storage.features import Features
    from tsugiki.storage.registry import Registry
    from tsugiki.storage.samples import LabelledSample, Samples

EMBED_ROWS = 1_024  # fills the engine's length buckets; what a killed job loses is at most this much work
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
    new_id: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Tools:
    """What an adaptation works with; the methods are handed in, the core imports none."""

    embedder: Embedder
    methods: Mapping[MethodName, Method]
    plan: Planner


class Attempt:
    """The phases in order. `attempt` is the fencing token: a newer attempt's start makes this one's writes fail."""

    def __init__(self, stores: Stores, tools: Tools, project: Project, adaptation: Adaptation, attempt: int) -> None:
        self._stores = stores
        self._tools = tools
        self._project = project
        self._adaptation = adaptation
        self._attempt = attempt
        self._progress = JobProgress(stores.adaptations, adaptation.id, attempt)
        self._watch = Stopwatch()

    @property
    def timings(self) -> Json:
        return self._watch.timings

    def adapt(self) -> Version:
        request = self._adaptation.request
        budget = budget_of(request)
        self._progress.phase("validate", 0.0)
        rows = self._stores.samples.labelled(self._project.id)
        backbone = self._tools.embedder.backbone(self._project.backbone)
        counts: dict[str, int] = {}
        for row in rows:
            counts[row.label] = counts.get(row.label, 0) + 1
        plan = self._tools.plan(profile_of(counts, backbone.space.dim), budget, request["method"])
        self._progress.phase("embed", 0.05)
        with self._watch.measure("embed_ms"):
            features = self._features(rows, backbone.space.id)
        self._progress.phase("plan", 0.4, plan=asdict(plan))
        snapshot = self._snapshot(rows, seed_of(request))
        data = TrainingSet(
            feature_space=backbone.space.id,
            features=features,
            targets=np.array(snapshot.targets, np.int64),
            folds=np.array(snapshot.folds, np.int64),
            labels=snapshot.labels,
            seed=seed_of(request),
        )
        self._progress.phase("train", 0.45)
        with self._watch.measure("fit_ms"):
            fitted = self._tools.methods[plan.chosen].fit(backbone, data, budget, self._progress)
        self._progress.phase("evaluate", 0.9)
        with self._watch.measure("evaluate_ms"):
            report = evaluate(fitted.held_out, data.targets, data.labels, seed=data.seed)
        return self._publish(snapshot, data, fitted, report)

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
            self._progress.phase("embed", 0.05 + 0.35 * (start + len(part)) / len(missing))
        return np.concatenate(matrices)[[index[row.id] for row in rows]]

    def _snapshot(self, rows: Sequence[LabelledSample], seed: int) -> Snapshot:
        labels = tuple(sorted({row.label for row in rows}))
        number = {label: index for index, label in enumerate(labels)}
        targets = [number[row.label] for row in rows]
        folds = assign_folds(np.array(targets, np.int64), [row.group for row in rows], seed=seed)
        return Snapshot(
            id=self._stores.new_id("snp"),
            project_id=self._project.id,
            sample_ids=tuple(row.id for row in rows),
            labels=labels,
            targets=tuple(targets),
            folds=tuple(int(fold) for fold in folds),
        )

    def _publish(self, snapshot: Snapshot, data: TrainingSet, fitted: Fitted, report: Json) -> Version:
        registry, project = self._stores.registry, self._project
        guesses = fitted.held_out.probabilities.argmax(axis=1)
        held_out = {
            snapshot.sample_ids[row]: int(guess) for row, guess in zip(fitted.held_out.rows, guesses, strict=True)
        }
        for last in (False,) * (GATE_ATTEMPTS - 1) + (True,):
            live = registry.alias(project.id, LIVE)
            self._progress.phase("gate", 0.93)
            decision = self._gate(live and live.version, snapshot, data, fitted)
            self._progress.phase("promote", 0.97)
            new = NewVersion(
                graft=fitted.graft,
                snapshot=snapshot,
                backbone=project.backbone,
                evaluation={"report": report, "held_out": held_out},
                metrics={name: report[name] for name in HEADLINE},
                lineage={
                    "adaptation": self._adaptation.id,
                    "parent": live and live.version,
                    "snapshot_digest": snapshot.digest,
                    "details": fitted.graft.details,
                },
            )
            try:
                with self._watch.measure("publish_ms"):
                    version = registry.publish(
                        project.id,
                        new,
                        adaptation_id=self._adaptation.id,
                        attempt=self._attempt,
                        promote_to=LIVE if decision.promoted else None,
                        expected=live and live.version,
                        gate=asdict(decision),
                        timings=self._watch.timings,
                        actor=self._adaptation.id,
                    )
            except Conflict as conflict:
                if conflict.reason != "alias_moved" or last:
                    raise
            else:
                self._progress.message(f"version {version.number} published: {decision.reason}")
                return version
        raise AssertionError("the loop returns or raises; this is a bug")

    def _gate(self, live: int | None, snapshot: Snapshot, data: TrainingSet, fitted: Fitted) -> GateDecision:
        """The candidate's held-out answers against the live version's own, on the samples both held out."""
        wish = self._adaptation.request["promote"]
        if wish == "never" or (wish == "gate" and self._project.policy.promote == "manual"):
            return GateDecision(False, "promotion was left to you: move the alias to make this version live")
        if wish == "always":
            return GateDecision(True, "promoted as requested, without comparison")
        if live is None:
            return compare(None, None, data.targets[:0], data.labels)
        version = self._stores.registry.get(self._project.id, live)
        answers: dict[str, int] = self._stores.registry.evaluation(version)["held_out"]
        pairs = common(answers, version.labels, snapshot, data.targets, fitted)
        return compare(pairs.candidate, pairs.live, pairs.targets, data.labels)


def profile_of(counts: Mapping[str, int], dim: int) -> Profile:
    """`{"billing": 12, "delivery": 8}` -> 20 samples, 2 labels, 8 to 12 a label."""
    sizes = list(counts.values())
    return Profile(sum(sizes), len(sizes), min(sizes, default=0), max(sizes, default=0), dim)


def budget_of(request: Json) -> Budget:
    return Budget(seconds=(request.get("budget") or {}).get("seconds"))


def seed_of(request: Json) -> int:
    return int((request.get("hyperparameters") or {}).get("seed", 0))
