"""Which backbone suits a project: each of its modality, tried on samples of the project's own."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsugiki.data.folds import assign_folds, number_groups
from tsugiki.domain import MIN_PER_LABEL, Budget, TrainingSet
from tsugiki.errors import Invalid, TsugikiError
from tsugiki.evaluation.intervals import newcombe_paired, wilson

if TYPE_CHECKING:
    from tsugiki.domain import Bools, Floats, Ints, Phase, Project
    from tsugiki.ports import Embedder, Method
    from tsugiki.storage.features import Features
    from tsugiki.storage.samples import LabelledSample, Samples

MOST_ROWS = 300  # tried of a project: seconds a backbone, and 3 to 5 points of accuracy are seen
TIMED = 5  # rows, one by one, whose median is told
HELD = 16  # of their contents at once: a file may have 16 MiB


class Patience(NamedTuple):
    """All that are tried may take `most_s` of passes, one input at a time; fewer than `fewest_rows` show nothing."""

    fewest_rows: int
    most_s: float


@dataclass(frozen=True, slots=True)
class Trial:
    """A backbone on a project's samples: held-out accuracy of a head, its 95 % interval, one input's milliseconds.

    `worse_than` is the most accurate one, where that is more accurate on the same rows beyond chance; `why_not` what
    kept this one from being tried.
    """

    backbone: str
    accuracy: float = 0.0
    ci95: tuple[float, float] = (0.0, 1.0)
    ms: float = 0.0
    rows: int = 0
    worse_than: str | None = None
    why_not: str | None = None


def try_backbones(
    names: Sequence[str],
    project: Project,
    samples: Samples,
    embedder: Embedder,
    method: Method,
    *,
    foreign: Collection[str] = (),
    most_rows: int = MOST_ROWS,
    patience: Patience | None = None,
    features: Features | None = None,
) -> list[Trial]:
    """One after the other, each loaded if it is not: minutes the first time. Best first, of those alike the faster.

    The `foreign` ones, which have not read the samples' language, come last, and no other is called worse than they.
    With `patience` fewer rows are tried where it would be lost, and the slowest but for the first not at all.
    What is embedded is kept in `features`, where an adaptation finds it; what is there already is not embedded.
    Raises Invalid where the project has too few samples to tell, or where a sample may have several labels.
    """
    if project.task != "single_label":
        raise Invalid("backbones are tried where a sample has one label", code="recommendation_unavailable")
    given = samples.labelled(project.id)
    rows = drawn(given, most_rows)
    if len({row.label for row in rows}) < 2:
        raise Invalid(
            f"no two labels have {MIN_PER_LABEL} samples: nothing tells one backbone from another",
            fix="add samples, or leave `project` out",
            code="too_few_samples",
        )
    trying = _Trying(project, samples, embedder, method, features)
    timed = [trying.timed(name, rows[:TIMED]) for name in names]
    if patience is not None:
        timed, most_rows = _within(patience, timed, most_rows)
        rows = drawn(given, most_rows)
    tried = [trying.tried(trial, rows) for trial in timed]
    best = max(tried, key=lambda one: (one.trial.backbone not in foreign, one.trial.accuracy))
    found = [_beside(one, best) for one in tried]
    return sorted(found, key=lambda one: (one.backbone in foreign, *_rank(one)))


def drawn(rows: Sequence[LabelledSample], most_rows: int) -> list[LabelledSample]:
    """As many of each label as there is room for, the oldest; labels with too few to be held out are left out."""
    of_label: dict[str, list[LabelledSample]] = {}
    for row in rows:
        of_label.setdefault(row.label, []).append(row)
    usable = {label: found for label, found in of_label.items() if len(found) >= MIN_PER_LABEL}
    room = max(MIN_PER_LABEL, most_rows // max(1, len(usable)))
    return [row for found in usable.values() for row in found[:room]]


def _within(patience: Patience, timed: Sequence[Trial], most_rows: int) -> tuple[list[Trial], int]:
    """The slowest go first, until those left can be tried on the fewest rows; on as many as there is time for."""
    first, *others = timed
    kept = [first, *sorted((trial for trial in others if trial.why_not is None), key=lambda trial: trial.ms)]
    while len(kept) > 1 and sum(trial.ms for trial in kept) * patience.fewest_rows > 1e3 * patience.most_s:
        kept.pop()
    names = {trial.backbone for trial in kept}
    slow = f"too slow to be tried within {patience.most_s:g} s"
    told = [
        trial if trial.why_not is not None or trial.backbone in names else replace(trial, why_not=slow)
        for trial in timed
    ]
    all_ms = sum(trial.ms for trial in kept)
    room = int(1e3 * patience.most_s / all_ms) if all_ms else most_rows
    return told, min(most_rows, max(room, patience.fewest_rows))


class _Tried(NamedTuple):
    """`right` (rows,) of the samples held out, whose numbers `rows` (rows,) are."""

    trial: Trial
    rows: Ints
    right: Bools


def _beside(one: _Tried, best: _Tried) -> Trial:
    """The same rows answered by both tell far more than two intervals do: most are right or wrong in both."""
    _, at, best_at = np.intersect1d(one.rows, best.rows, return_indices=True)
    if not len(at):
        return one.trial
    mine, its = one.right[at], best.right[best_at]
    counts = (int(rows.sum()) for rows in (its & mine, its & ~mine, ~its & mine, ~its & ~mine))
    return replace(one.trial, worse_than=best.trial.backbone) if newcombe_paired(*counts).low > 0.0 else one.trial


def _rank(trial: Trial) -> tuple[int, float]:
    if trial.why_not is not None:
        return 2, 0.0
    return (0, trial.ms) if trial.worse_than is None else (1, -trial.accuracy)


@dataclass(frozen=True, slots=True)
class _Trying:
    project: Project
    samples: Samples
    embedder: Embedder
    method: Method
    kept: Features | None

    def timed(self, name: str, rows: Sequence[LabelledSample]) -> Trial:
        """Loads it, and knows no more than its pace."""
        taken: list[float] = []
        try:
            self.embedder.backbone(name)
            self._embed(name, rows[:1])  # the first pass of an engine makes it ready
            for row in rows:
                started = time.perf_counter()
                self._embed(name, [row])
                taken.append((time.perf_counter() - started) * 1e3)
        except TsugikiError as error:
            return Trial(name, why_not=error.detail)
        return Trial(name, ms=round(median(taken), 1))

    def tried(self, trial: Trial, rows: Sequence[LabelledSample]) -> _Tried:
        if trial.why_not is not None:
            return _untried(trial)
        try:
            backbone = self.embedder.backbone(trial.backbone)
            features = self._features(trial.backbone, backbone.space.id, rows)
        except TsugikiError as error:
            return _untried(Trial(trial.backbone, why_not=error.detail))
        targets = np.unique([row.label for row in rows], return_inverse=True)[1].astype(np.int64)
        groups = [row.group for row in rows]
        folds = assign_folds(targets, groups, seed=0)
        labels = tuple(sorted({row.label for row in rows}))
        data = TrainingSet(backbone.space.id, features, targets, folds, number_groups(groups), labels, seed=0)
        held = self.method.fit(backbone, data, Budget(), _Quiet()).held_out
        right: Bools = held.probabilities.argmax(axis=1) == targets[held.rows]
        hits, count = int(right.sum()), len(right)
        found = replace(trial, accuracy=hits / count, ci95=wilson(hits, count), rows=count)
        return _Tried(found, held.rows, right)

    def _features(self, name: str, space_id: str, rows: Sequence[LabelledSample]) -> Floats:
        """(rows, dim), in their order."""
        vectors: dict[str, Floats] = {}
        if self.kept is not None:
            stored = self.kept.load(self.project.id, space_id)
            vectors |= zip(stored.sample_ids, stored.matrix, strict=True)
        missing = [row for row in rows if row.id not in vectors]
        parts = [missing[start : start + HELD] for start in range(0, len(missing), HELD)]
        ids = [row.id for row in missing]
        if parts:
            fresh = np.concatenate([self._embed(name, part) for part in parts])
            vectors |= zip(ids, fresh, strict=True)
            if self.kept is not None:
                self.kept.save(self.project.id, space_id, ids, fresh)
        return np.stack([vectors[row.id] for row in rows])

    def _embed(self, name: str, rows: Sequence[LabelledSample]) -> Floats:
        return self.embedder.embed(self.project.tenant_id, name, self.samples.contents(self.project, rows))


def _untried(trial: Trial) -> _Tried:
    return _Tried(trial, np.zeros(0, np.int64), np.zeros(0, np.bool_))


class _Quiet:
    """The Progress port where nobody watches, and nothing is to be stopped."""

    def phase(self, phase: Phase, fraction: float) -> None: ...
    def metric(self, name: str, value: float) -> None: ...
    def check(self) -> None: ...
