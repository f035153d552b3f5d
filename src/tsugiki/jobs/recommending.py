"""Which backbone suits a project: each of its modality, tried on samples of the project's own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.folds import assign_folds
from tsugiki.domain import MIN_PER_LABEL, Budget, TrainingSet
from tsugiki.errors import Invalid, TsugikiError
from tsugiki.evaluation.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsugiki.domain import Content, Floats, Phase, Project
    from tsugiki.ports import Embedder, Method
    from tsugiki.storage.samples import LabelledSample, Samples

MOST_ROWS, MOST_PER_LABEL = 300, 30  # tried of a project: seconds a backbone, and 5 points of accuracy are seen
TIMED = 5  # rows, one by one, whose median is told


@dataclass(frozen=True, slots=True)
class Trial:
    """A backbone on a project's samples: held-out accuracy of a head, its 95 % interval, one input's milliseconds.

    `why_not` says what kept it from being tried.
    """

    backbone: str
    accuracy: float = 0.0
    ci95: tuple[float, float] = (0.0, 1.0)
    ms: float = 0.0
    rows: int = 0
    why_not: str | None = None


def try_backbones(
    names: Sequence[str], project: Project, samples: Samples, embedder: Embedder, method: Method
) -> list[Trial]:
    """One after the other, each loaded if it is not: minutes the first time. Best first, of those alike the faster.

    Raises Invalid where the project has too few samples to tell, or where a sample may have several labels.
    """
    if project.task != "single_label":
        raise Invalid("backbones are tried where a sample has one label", code="recommendation_unavailable")
    rows = _drawn(samples.labelled(project.id))
    targets = np.unique([row.label for row in rows], return_inverse=True)[1].astype(np.int64)
    if not rows or len(np.bincount(targets)) < 2:
        raise Invalid(
            f"no two labels have {MIN_PER_LABEL} samples: nothing tells one backbone from another",
            fix="add samples, or leave `project` out",
            code="too_few_samples",
        )
    contents = samples.contents(project, rows)
    trials = [_tried(name, project.tenant_id, rows, targets, contents, embedder, method) for name in names]
    best = max(trial.accuracy for trial in trials)
    # What the best one's interval holds is not shown to be worse.
    floor = next(trial.ci95[0] for trial in trials if trial.accuracy == best)
    return sorted(trials, key=lambda trial: _rank(trial, floor))


def _rank(trial: Trial, floor: float) -> tuple[int, float]:
    if trial.why_not is not None:
        return 2, 0.0
    return (0, trial.ms) if trial.accuracy >= floor else (1, -trial.accuracy)


def _drawn(rows: Sequence[LabelledSample]) -> list[LabelledSample]:
    """As many of each label as there is room for, the oldest; labels with too few to be held out are left out."""
    of_label: dict[str, list[LabelledSample]] = {}
    for row in rows:
        of_label.setdefault(row.label, []).append(row)
    usable = {label: found for label, found in of_label.items() if len(found) >= MIN_PER_LABEL}
    room = min(MOST_PER_LABEL, max(MIN_PER_LABEL, MOST_ROWS // max(1, len(usable))))
    return [row for found in usable.values() for row in found[:room]]


def _tried(
    name: str,
    tenant_id: str,
    rows: Sequence[LabelledSample],
    targets: np.ndarray[tuple[int], np.dtype[np.int64]],
    contents: Sequence[Content],
    embedder: Embedder,
    method: Method,
) -> Trial:
    try:
        backbone = embedder.backbone(name)
        features = embedder.embed(tenant_id, name, contents)
        ms = _milliseconds(lambda content: embedder.embed(tenant_id, name, [content]), contents[:TIMED])
    except TsugikiError as error:
        return Trial(name, why_not=error.detail)
    folds = assign_folds(targets, [row.group for row in rows], seed=0)
    labels = tuple(sorted({row.label for row in rows}))
    data = TrainingSet(backbone.space.id, features, targets, folds, labels, seed=0)
    held = method.fit(backbone, data, Budget(), _Quiet()).held_out
    hits = int((held.probabilities.argmax(axis=1) == targets[held.rows]).sum())
    low, high = wilson(hits, len(held.rows))
    return Trial(name, hits / len(held.rows), (low, high), ms, len(held.rows))


def _milliseconds(once: Callable[[Content], Floats], contents: Sequence[Content]) -> float:
    taken: list[float] = []
    for content in contents:
        started = time.perf_counter()
        once(content)
        taken.append((time.perf_counter() - started) * 1e3)
    return round(median(taken), 1)


class _Quiet:
    """The Progress port where nobody watches, and nothing is to be stopped."""

    def phase(self, phase: Phase, fraction: float) -> None: ...
    def metric(self, name: str, value: float) -> None: ...
    def check(self) -> None: ...
