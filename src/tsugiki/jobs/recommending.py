"""Which backbone suits a project: each of its modality, tried on samples of the project's own."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.folds import assign_folds
from tsugiki.domain import MIN_PER_LABEL, Budget, TrainingSet
from tsugiki.errors import Invalid, TsugikiError
from tsugiki.evaluation.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsugiki.domain import Floats, Ints, Phase, Project
    from tsugiki.ports import Embedder, Method
    from tsugiki.storage.samples import LabelledSample, Samples

MOST_ROWS, MOST_PER_LABEL = 300, 30  # tried of a project: seconds a backbone, and 5 points of accuracy are seen
TIMED = 5  # rows, one by one, whose median is told
HELD = 16  # of their contents at once: a file may have 16 MiB


@dataclass(frozen=True, slots=True)
class Trial:
    """A backbone on a project's samples: held-out accuracy of a head, its 95 % interval, one input's milliseconds.

    `worse_than` is the most accurate one, where that is more accurate beyond chance; `why_not` what kept this one from
    being tried.
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
) -> list[Trial]:
    """One after the other, each loaded if it is not: minutes the first time. Best first, of those alike the faster.

    The `foreign` ones, which have not read the samples' language, come last, and no other is called worse than they.
    Raises Invalid where the project has too few samples to tell, or where a sample may have several labels.
    """
    if project.task != "single_label":
        raise Invalid("backbones are tried where a sample has one label", code="recommendation_unavailable")
    rows = _drawn(samples.labelled(project.id), most_rows)
    targets = np.unique([row.label for row in rows], return_inverse=True)[1].astype(np.int64)
    if not rows or len(np.bincount(targets)) < 2:
        raise Invalid(
            f"no two labels have {MIN_PER_LABEL} samples: nothing tells one backbone from another",
            fix="add samples, or leave `project` out",
            code="too_few_samples",
        )
    trials = [_tried(name, project, rows, targets, samples, embedder, method) for name in names]
    best = max(trials, key=lambda trial: (trial.backbone not in foreign, trial.accuracy))
    return sorted((_beside(trial, best) for trial in trials), key=lambda one: (one.backbone in foreign, *_rank(one)))


def _beside(trial: Trial, best: Trial) -> Trial:
    """What the best one's interval holds is not shown to be worse."""
    worse = trial.why_not is None and trial.accuracy < best.ci95[0]
    return replace(trial, worse_than=best.backbone) if worse else trial


def _rank(trial: Trial) -> tuple[int, float]:
    if trial.why_not is not None:
        return 2, 0.0
    return (0, trial.ms) if trial.worse_than is None else (1, -trial.accuracy)


def _drawn(rows: Sequence[LabelledSample], most_rows: int) -> list[LabelledSample]:
    """As many of each label as there is room for, the oldest; labels with too few to be held out are left out."""
    of_label: dict[str, list[LabelledSample]] = {}
    for row in rows:
        of_label.setdefault(row.label, []).append(row)
    usable = {label: found for label, found in of_label.items() if len(found) >= MIN_PER_LABEL}
    room = min(MOST_PER_LABEL, max(MIN_PER_LABEL, most_rows // max(1, len(usable))))
    return [row for found in usable.values() for row in found[:room]]


def _tried(
    name: str,
    project: Project,
    rows: Sequence[LabelledSample],
    targets: Ints,
    samples: Samples,
    embedder: Embedder,
    method: Method,
) -> Trial:
    def embed(some: Sequence[LabelledSample]) -> Floats:
        return embedder.embed(project.tenant_id, name, samples.contents(project, some))

    try:
        backbone = embedder.backbone(name)
        features = np.concatenate([embed(rows[start : start + HELD]) for start in range(0, len(rows), HELD)])
        ms = _milliseconds(embed, rows[:TIMED])
    except TsugikiError as error:
        return Trial(name, why_not=error.detail)
    folds = assign_folds(targets, [row.group for row in rows], seed=0)
    labels = tuple(sorted({row.label for row in rows}))
    data = TrainingSet(backbone.space.id, features, targets, folds, labels, seed=0)
    held = method.fit(backbone, data, Budget(), _Quiet()).held_out
    hits = int((held.probabilities.argmax(axis=1) == targets[held.rows]).sum())
    low, high = wilson(hits, len(held.rows))
    return Trial(name, hits / len(held.rows), (low, high), ms, len(held.rows))


def _milliseconds(embed: Callable[[Sequence[LabelledSample]], Floats], rows: Sequence[LabelledSample]) -> float:
    taken: list[float] = []
    for row in rows:
        started = time.perf_counter()
        embed([row])
        taken.append((time.perf_counter() - started) * 1e3)
    return round(median(taken), 1)


class _Quiet:
    """The Progress port where nobody watches, and nothing is to be stopped."""

    def phase(self, phase: Phase, fraction: float) -> None: ...
    def metric(self, name: str, value: float) -> None: ...
    def check(self) -> None: ...
