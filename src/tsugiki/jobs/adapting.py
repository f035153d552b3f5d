"""The phases of an adaptation up to a trained graft, for both lanes: each makes one thing of what others made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tsugiki.data.folds import assign_folds
from tsugiki.domain import Budget, Profile, Snapshot, TrainingSet
from tsugiki.jobs.deep_lane import DEEP

if TYPE_CHECKING:
    from tsugiki.domain import Adaptation, Fitted, Floats, Json, MethodName, Plan, Project, Promotion
    from tsugiki.jobs.progress import JobProgress, Stopwatch
    from tsugiki.ports import Embedder, Method
    from tsugiki.storage.adaptations import Adaptations
    from tsugiki.storage.features import Features
    from tsugiki.storage.registry import Registry
    from tsugiki.storage.samples import LabelledSample, Samples

EMBED_ROWS = 256  # some tens of passes: a second of work between two looks at whether to stop, and all a crash loses

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
    """What an adaptation works with; the methods are handed in, the core imports none.

    `trains` says whether a trainer takes what a plan would have done next.
    """

    embedder: Embedder
    methods: Mapping[MethodName, Method]
    plan: Planner
    trains: bool = False


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

    def rows(self) -> list[LabelledSample]:
        """All that may be trained on, as it is now."""
        return self._stores.samples.labelled(self._project.id)

    def plan(self, rows: Sequence[LabelledSample]) -> Plan:
        """Raises Invalid when nothing can run on them."""
        counts: dict[str, int] = {}
        for row in rows:
            counts[row.label] = counts.get(row.label, 0) + 1
        space = self._tools.embedder.backbone(self._project.backbone).space
        return self._tools.plan(profile_of(counts, space.dim), self._wish.budget, self._wish.method)

    def tell(self, plan: Plan) -> None:
        self._progress.phase("plan", 0.0, plan=asdict(plan))

    def embed(self, rows: Sequence[LabelledSample]) -> Floats:
        """The phase of that name; see `features`."""
        self._progress.phase("embed", 0.0)
        with self._watch.measure("embed_ms"):
            return self.features(rows)

    def cut(self, rows: Sequence[LabelledSample]) -> Snapshot:
        labels = tuple(sorted({row.label for row in rows}))
        number = {label: index for index, label in enumerate(labels)}
        targets = [number[row.label] for row in rows]
        folds = assign_folds(np.array(targets, np.int64), [row.group for row in rows], seed=self._wish.seed)
        return Snapshot(
            id=self._stores.new_snapshot_id(),
            project_id=self._project.id,
            sample_ids=tuple(row.id for row in rows),
            labels=labels,
            targets=tuple(targets),
            folds=tuple(int(fold) for fold in folds),
        )

    def train(self, method: MethodName, snapshot: Snapshot, rows: Sequence[LabelledSample], features: Floats) -> Fitted:
        """`rows` and their `features` (rows, dim) are the snapshot's samples, in its order."""
        backbone = self._tools.embedder.backbone(self._project.backbone)
        contents = [row.content for row in rows] if method in DEEP else []
        data = TrainingSet(
            feature_space=backbone.space.id,
            features=features,
            targets=np.array(snapshot.targets, np.int64),
            folds=np.array(snapshot.folds, np.int64),
            labels=snapshot.labels,
            seed=self._wish.seed,
            rows=[prepared.ids for prepared in backbone.prepare(contents)] if contents else (),
        )
        self._progress.phase("train", 0.0)
        with self._watch.measure("fit_ms"):
            return self._tools.methods[method].fit(backbone, data, self._left(), self._progress)

    def follow_up(self, plan: Plan) -> Json | None:
        """The request of what shall be tried next in the background: it has to prove itself, however this was asked."""
        if plan.next is None or self._wish.method != "auto" or not self._tools.trains:
            return None
        promote: Promotion = "never" if self._wish.promote == "never" else "gate"
        return {**self._adaptation.request, "method": plan.next, "promote": promote}

    def _left(self) -> Budget:
        """What embedding has left of it: perhaps nothing, and then a method does the least it can."""
        seconds = self._wish.budget.seconds
        return Budget(None if seconds is None else max(0.0, seconds - self._watch.elapsed_s))

    def features(self, rows: Sequence[LabelledSample]) -> Floats:
        """(rows, dim), in their order: stored ones read, new ones computed and stored slice by slice."""
        space_id = self._tools.embedder.backbone(self._project.backbone).space.id
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


def profile_of(counts: Mapping[str, int], dim: int) -> Profile:
    """`{"billing": 12, "delivery": 8}` -> 20 samples, 2 labels, 8 to 12 a label."""
    sizes = list(counts.values())
    return Profile(sum(sizes), len(sizes), min(sizes, default=0), max(sizes, default=0), dim)
