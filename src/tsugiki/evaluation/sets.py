"""The evaluation of a version whose samples may have several labels, from held-out answers only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.evaluation.abstention import told_curve, told_thresholds
from tsugiki.evaluation.calibration import BINS, bin_of, reliability
from tsugiki.evaluation.intervals import percentile, resamples, wilson, wilson_f1
from tsugiki.evaluation.metrics import LEAST_CHANCE
from tsugiki.evaluation.scope import told_scope
from tsugiki.evaluation.shares import on_holdout, share
from tsugiki.evaluation.slices import by_slice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Bools, Floats, HeadScope, HeldOut, Ints, Json


def example_f1(truth: Bools, answers: Bools) -> NDArray[np.float64]:
    """Of each row (rows,) the F1 of the set answered, 1 where both are empty; both (rows, labels)."""
    mass = truth.sum(axis=1) + answers.sum(axis=1)
    return np.where(mass == 0, 1.0, 2.0 * (truth & answers).sum(axis=1) / np.maximum(mass, 1))


def set_scores(chances: Floats, answers: Bools) -> Floats:
    """How sure each row's set of labels is (rows,), from both (rows, labels): as if its labels had nothing to do with
    one another, the chance that all are right, those that are not given too.

    What the labels have to do with one another moves it, not its order by much: what it promises, held-out rows tell.
    """
    told = np.maximum(np.where(answers, chances, 1.0 - chances), LEAST_CHANCE)
    return np.exp(np.log(told.astype(np.float64)).sum(axis=1)).astype(np.float32)


def evaluate_sets(
    held_out: HeldOut,
    truth: Bools,
    labels: Sequence[str],
    thresholds: Floats,
    seed: int,
    *,
    left_out: Sequence[str] = (),
    frozen: Ints | None = None,
    facets: Sequence[Mapping[str, str]] | None = None,
    scope: HeadScope | None = None,
) -> Json:
    """`truth` (samples, labels) of the whole training set; the members of `evaluate`, and more.

    `accuracy` counts rows answered with exactly their labels. `micro_f1` is over all decisions, `macro_f1` the mean
    over labels, `example_f1` the mean over rows. `log_loss`, `ece` and `reliability` are of single decisions: does a
    row have a label. `risk_coverage` and `thresholds` are of whole sets, by `set_scores`. `left_out` are labels with
    too few samples with or without them.
    """
    assert held_out.answers is not None, "held-out answers are by thresholds: this is a bug"
    known, answers = truth[held_out.rows], held_out.answers
    exact: Bools = (known == answers).all(axis=1)
    measures = _measures(known, answers, held_out.probabilities, seed)
    sure = set_scores(held_out.probabilities, answers)
    commonest = _commonest(truth)
    rows = len(known)
    sliced: list[Mapping[str, str]] = [] if facets is None else [facets[row] for row in held_out.rows.tolist()]
    return {
        "samples": len(truth),
        "held_out": rows,
        "accuracy": share(int(exact.sum()), rows),
        **measures,
        "majority_baseline": {
            "label": None,
            "labels": [labels[place] for place in np.flatnonzero(commonest).tolist()],
            "accuracy": share(int((known == commonest).all(axis=1).sum()), rows),
        },
        "per_class": _per_label(known, answers, labels, thresholds),
        "confusion": {"per_label": _confusion(known, answers, labels)},
        "reliability": [one._asdict() for one in reliability(held_out.probabilities.ravel(), known.ravel())],
        "risk_coverage": told_curve(sure, exact),
        "thresholds": told_thresholds(sure, exact),
        "holdout": on_holdout(exact, held_out.rows, frozen),
        "slices": by_slice(exact, sliced),
        "out_of_scope": told_scope(scope),
        "left_out": list(left_out),
    }


def _measures(truth: Bools, answers: Bools, chances: Floats, seed: int) -> Json:
    hits, given, held = ((m).astype(np.float32) for m in (truth & answers, answers, truth))
    told = np.where(truth, chances, 1 - chances)
    loss = -np.log(np.maximum(told, LEAST_CHANCE)).mean(axis=1)
    by_row = example_f1(truth, answers).astype(np.float32)
    gaps = np.zeros((len(truth), BINS), np.float32)
    np.add.at(gaps, (np.arange(len(truth))[:, None], bin_of(chances)), chances - truth)

    def of(counts: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Each measure (draws,) of bootstrap samples: `counts` (draws, rows)."""
        total = counts.sum(axis=1)
        right, mass = (counts @ hits).astype(np.float64), (counts @ (given + held)).astype(np.float64)
        seen = np.maximum((mass > 0).sum(axis=1), 1)
        return {
            "micro_f1": 2.0 * right.sum(axis=1) / np.maximum(mass.sum(axis=1), 1.0),
            "macro_f1": (2.0 * right / np.maximum(mass, 1.0)).sum(axis=1) / seen,
            "example_f1": (counts @ by_row).astype(np.float64) / total,
            "log_loss": (counts @ loss).astype(np.float64) / total,
            "ece": np.abs(counts @ gaps).sum(axis=1).astype(np.float64) / (total * truth.shape[1]),
        }

    drawn = [of(counts) for counts in resamples(len(truth), seed)]
    once = of(np.ones((1, len(truth)), np.float32))
    found: Json = {}
    for name, value in once.items():
        most = math.inf if name == "log_loss" else 1.0
        interval = percentile(float(value[0]), np.concatenate([draws[name] for draws in drawn]), most)
        found[name] = {"value": float(value[0]), "ci95": list(interval)}
    return found


def _per_label(truth: Bools, answers: Bools, labels: Sequence[str], thresholds: Floats) -> list[Json]:
    hits, support, given = (truth & answers).sum(axis=0), truth.sum(axis=0), answers.sum(axis=0)
    return [
        {
            "label": label,
            "precision": float(hits[i] / max(given[i], 1)),
            "precision_ci95": list(wilson(int(hits[i]), int(given[i]))),
            "recall": float(hits[i] / max(support[i], 1)),
            "recall_ci95": list(wilson(int(hits[i]), int(support[i]))),
            "f1": float(2.0 * hits[i] / max(support[i] + given[i], 1)),
            "f1_ci95": list(wilson_f1(int(hits[i]), int(support[i] + given[i] - hits[i]))),
            "support": int(support[i]),
            "threshold": float(thresholds[i]),
        }
        for i, label in enumerate(labels)
    ]


def _confusion(truth: Bools, answers: Bools, labels: Sequence[str]) -> list[Json]:
    cells = ((truth & answers), (~truth & answers), (truth & ~answers), (~truth & ~answers))
    columns = [cell.sum(axis=0).tolist() for cell in cells]
    names = ("true_positive", "false_positive", "false_negative", "true_negative")
    return [
        {"label": label, **dict(zip(names, row, strict=True))}
        for label, row in zip(labels, zip(*columns, strict=True), strict=True)
    ]


def _commonest(truth: Bools) -> Bools:
    sets, counts = np.unique(truth, axis=0, return_counts=True)
    return sets[counts.argmax()]
