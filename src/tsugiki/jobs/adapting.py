"""The phases of an adaptation up to a trained graft, for both lanes: each makes one thing of what others made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from tsugiki.data.audit import fold_groups
from tsugiki.data.folds import assign_folds, has_holdout, number_groups
from tsugiki.data.labels import texts_of
from tsugiki.domain import Budget, Label, Profile, Snapshot, TrainingSet, told_labels
from tsugiki.jobs import auditing
from tsugiki.jobs.deep_lane import DEEP
from tsugiki.jobs.labelling import combinations_of, learnable, learnt_combinations, rarest
from tsugiki.jobs.naming import Names
from tsugiki.jobs.profiling import named_labels, profile_of, spread, with_closeness, with_lengths, with_rates
from tsugiki.observed import UNTRACED
from tsugiki.storage.adaptation_rows import FollowUp
from tsugiki.training.blending import hears_names
from tsugiki.training.hyperparameters import tuned
from tsugiki.training.shelf import shelve

if TYPE_CHECKING:
    from tsugiki.data.audit import Neighbours
    from tsugiki.domain import (
        Adaptation,
        Content,
        Fitted,
        Floats,
        Json,
        MethodName,
        Plan,
        Prepared,
        Project,
        Promotion,
        Rates,
    )
    from tsugiki.jobs.choosing import Chooser
    from tsugiki.jobs.progress import JobProgress, Stopwatch
    from tsugiki.observed import Tracing
    from tsugiki.ports import Backbone, Embedder, Method
    from tsugiki.storage.adaptations import Adaptations
    from tsugiki.storage.features import Features
    from tsugiki.storage.registry import Registry
    from tsugiki.storage.samples import LabelledSample, Samples

EMBED_FILES = 16  # held at once: a file may have 16 MiB
EMBED_ROWS = 256  # some tens of passes: all that a crash loses

Planner = Callable[[Profile, Budget, "MethodName | Literal['auto']", "Json"], "Plan"]


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
    hyperparameters: Json

    @staticmethod
    def read(request: Json) -> Wish:
        budget: Json = request.get("budget") or {}
        return Wish(
            request["method"], request["promote"], Budget(budget.get("seconds")), request.get("hyperparameters") or {}
        )

    @property
    def seed(self) -> int:
        return int(self.hyperparameters.get("seed", 0))


@dataclass(frozen=True, slots=True)
class Tools:
    """What an adaptation works with; the methods are handed in, the core imports none.

    `trains` says whether a trainer takes what a plan would have done next.
    """

    embedder: Embedder
    methods: Mapping[MethodName, Method]
    plan: Planner
    trains: bool = False
    names: Names = field(default_factory=Names)
    rates: Callable[[str], Rates] | None = None  # of a backbone, which is loaded
    tracing: Tracing = UNTRACED
    choose: Chooser | None = None  # the backbone, by what the samples tell


class Phases:
    """`progress.attempt` is the fencing token: a newer start makes this one's writes fail."""

    def __init__(
        self,
        stores: Stores,
        tools: Tools,
        project: Project,
        adaptation: Adaptation,
        progress: JobProgress,
        watch: Stopwatch,
    ) -> None:
        self._stores = stores
        self._tools = tools
        self._project = project
        self._adaptation = adaptation
        self._progress = progress
        self._wish = Wish.read(adaptation.request)
        self._watch = watch
        self._choice_told: tuple[str, ...] = ()  # reasons of every plan

    def rows(self) -> list[LabelledSample]:
        """All that may be trained on, as it is now."""
        return self._stores.samples.labelled(self._project.id)

    def choose(self, rows: Sequence[LabelledSample]) -> Project:
        """The project with its backbone settled, where there are `rows` to tell by; to be asked before all else."""
        if self._tools.choose is not None:
            with self._watch.measure("plan_ms"):
                self._project, self._choice_told = self._tools.choose(self._project, rows)
        return self._project

    def plan(self, rows: Sequence[LabelledSample]) -> Plan:
        """Raises Invalid when nothing can run on them."""
        return self._planned(self._profile(rows))

    def tell(self, plan: Plan, rows: Sequence[LabelledSample]) -> None:
        """With what is found out of the rows once something runs on them."""
        some = spread(rows, self._project.modality)
        profile = with_lengths(plan.profile, self._backbone, self._contents(some))
        self._progress.phase("plan", 0.0, plan=asdict(replace(plan, profile=profile)))

    def embed(self, rows: Sequence[LabelledSample]) -> Floats:
        """The phase of that name; see `features`."""
        self._progress.phase("embed", 0.0)
        with self._watch.measure("embed_ms"):
            return self.features(rows)

    def audit(self, features: Floats) -> Neighbours:
        """The dear part of the phase of that name: `features` (rows, dim) tell which rows must share a fold."""
        self._progress.phase("audit", 0.0)
        with self._watch.measure("audit_ms"):
            return auditing.neighbours(features, self._project, self._progress)

    def cut(self, rows: Sequence[LabelledSample], near: Neighbours) -> Snapshot:
        several = self._project.task == "multi_label"
        told = sorted({row.label for row in rows} | named_labels(self._project))
        labels = tuple(sorted({label for one in told for label in told_labels(one)})) if several else tuple(told)
        number = {one: index for index, one in enumerate(told)}
        targets = np.array([number[row.label] for row in rows], np.int64)
        combinations = combinations_of(told, labels) if several else None
        strata = targets if combinations is None else rarest(targets, combinations, len(labels))
        groups = fold_groups([row.group for row in rows], strata, near)
        folds = assign_folds(strata, groups, seed=self._wish.seed) if rows else targets
        return Snapshot(
            id=self._stores.new_snapshot_id(),
            project_id=self._project.id,
            sample_ids=tuple(row.id for row in rows),
            labels=labels,
            targets=tuple(targets.tolist()),
            folds=tuple(folds.tolist()),
            groups=tuple(number_groups(groups).tolist()),
            holdout=has_holdout(groups),
            combinations=combinations,
        )

    def data(self, plan: Plan, snapshot: Snapshot, rows: Sequence[LabelledSample], features: Floats) -> TrainingSet:
        """`rows` and their `features` (rows, dim) are the snapshot's samples, in its order."""
        profile = plan.profile
        hears = hears_names(profile.samples, profile.labels, profile.min_per_label) and snapshot.combinations is None
        labels = learnable(snapshot)
        return TrainingSet(
            feature_space=self._backbone.space.id,
            features=features,
            targets=np.array(snapshot.targets, np.int64),
            folds=np.array(snapshot.folds, np.int64),
            groups=np.array(snapshot.groups, np.int64),
            labels=labels,
            seed=self._wish.seed,
            rows=shelve(self._prepared(rows)) if plan.chosen in DEEP else (),
            names=self._names(snapshot.labels) if plan.chosen == "zero_shot" or hears else None,
            combinations=learnt_combinations(snapshot, labels),
            name_rows=self._name_rows(snapshot.labels) if plan.chosen in DEEP and hears else (),
        )

    def train(self, method: MethodName, data: TrainingSet) -> Fitted:
        self._progress.phase("train", 0.0)
        with self._watch.measure("fit_ms"):
            chosen = self._tools.methods[method]
            if method == self._wish.method:  # else nothing but the seed was given
                chosen = tuned(chosen, self._wish.hyperparameters)
            # After a training it is searched once more for who is near whom.
            again_s = self._watch.timings.get("audit_ms", 0.0) / 1000 if method in DEEP else 0.0
            return chosen.fit(self._backbone, data, self._left(again_s), self._progress)

    def findings(self, rows: Sequence[LabelledSample], snapshot: Snapshot, near: Neighbours, fitted: Fitted) -> Json:
        """The rest of the audit, which hears what the held-out answers say; `rows` and `near` are the snapshot's."""
        with self._watch.measure("audit_ms"):
            return auditing.report(self._stores.samples, rows, snapshot, near, self._backbone, fitted, self._progress)

    def look_further(self, plan: Plan, data: TrainingSet, report: Json) -> Plan:
        """What may pay next, now that a head's evaluation tells how close its features come."""
        if plan.chosen != "head":
            return plan
        with self._watch.measure("plan_ms"):
            plan = self._planned(with_closeness(plan.profile, data, report))
        self._progress.phase("evaluate", 1.0, plan=asdict(plan))
        return plan

    def follow_up(self, plan: Plan) -> FollowUp | None:
        """What shall be tried next in the background: it has to prove itself, however this was asked."""
        if plan.next is None or self._wish.method != "auto" or not self._tools.trains:
            return None
        promote: Promotion = "never" if self._wish.promote == "never" else "gate"
        request = {**self._adaptation.request, "method": plan.next, "promote": promote}
        following = self._tools.plan(plan.profile, self._wish.budget, plan.next, self._wish.hyperparameters)
        reasons = (*following.reasons, *self._choice_told)
        return FollowUp(request, asdict(replace(following, reasons=reasons)))

    def features(self, rows: Sequence[LabelledSample]) -> Floats:
        """(rows, dim), in their order: stored ones read, new ones computed and stored slice by slice."""
        space = self._backbone.space
        if not rows:
            return np.zeros((0, space.dim), np.float32)
        place = {row.id: number for number, row in enumerate(rows)}
        found = np.empty((len(rows), space.dim), np.float32)  # filled, not joined of parts: large sets are not copied
        known = self._stores.features.load(self._project.id, space.id)
        for sample_id, vector in zip(known.sample_ids, known.matrix, strict=True):
            if sample_id in place:
                found[place[sample_id]] = vector
        stored = frozenset(known.sample_ids)
        missing = [row for row in rows if row.id not in stored]
        done = 0
        for part in self._parts(missing):
            fresh = self._tools.embedder.embed(
                self._project.tenant_id, self._project.backbone, self._contents(part), self._progress.check
            )
            self._stores.features.save(self._project.id, space.id, [row.id for row in part], fresh)
            found[[place[row.id] for row in part]] = fresh
            done += len(part)
            self._progress.phase("embed", done / len(missing))
        return found

    def _prepared(self, rows: Sequence[LabelledSample]) -> Iterator[Prepared]:
        """What the network reads of each; no more files are held at once than a part has."""
        for part in self._parts(rows):
            self._progress.check()
            yield from self._backbone.prepare(self._contents(part))

    def _parts(self, rows: Sequence[LabelledSample]) -> Iterator[Sequence[LabelledSample]]:
        size = EMBED_ROWS if self._project.modality == "text" else EMBED_FILES
        return (rows[start : start + size] for start in range(0, len(rows), size))

    def _contents(self, rows: Sequence[LabelledSample]) -> list[Content]:
        return self._stores.samples.contents(self._project, rows)

    @cached_property
    def _backbone(self) -> Backbone:
        return self._tools.embedder.backbone(self._project.backbone)

    def _profile(self, rows: Sequence[LabelledSample]) -> Profile:
        counts = Counter(row.label for row in rows)
        project = self._project
        profile = profile_of(counts, self._backbone.space, named_labels(project), project.task, project.modality)
        rates = self._tools.rates
        return with_rates(profile, None if rates is None else rates(project.backbone))

    def _planned(self, profile: Profile) -> Plan:
        plan = self._tools.plan(profile, self._wish.budget, self._wish.method, self._wish.hyperparameters)
        return replace(plan, reasons=(*plan.reasons, *self._choice_told))

    def _left(self, kept_back_s: float) -> Budget:
        """What embedding has left of it and is not kept back: perhaps nothing, and then a method does the least."""
        seconds = self._wish.budget.seconds
        return Budget(None if seconds is None else max(0.0, seconds - self._watch.elapsed_s - kept_back_s))

    def _names(self, labels: Sequence[str]) -> Floats | None:
        """Features of what the labels are called, None where the modality's inputs are no words."""
        if self._project.modality != "text":
            return None
        return self._tools.names.features(self._tools.embedder, self._project, self._told(labels))

    def _name_rows(self, labels: Sequence[str]) -> list[list[Prepared]]:
        """What the network reads of the same, nothing where inputs are no words."""
        if self._project.modality != "text":
            return []
        return [self._backbone.prepare(texts_of(label)) for label in self._told(labels)]

    def _told(self, labels: Sequence[str]) -> list[Label]:
        """As they were declared, or by their names alone."""
        declared = {label.name: label for label in self._project.labels}
        return [declared.get(name, Label(name)) for name in labels]
