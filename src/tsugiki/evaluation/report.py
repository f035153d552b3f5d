"""The evaluation of a version, as plain JSON, from held-out answers only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.domain import HeadScope, HeldOut, Json
from tsugiki.evaluation.abstention import told_curve, told_thresholds
from tsugiki.evaluation.calibration import reliability
from tsugiki.evaluation.intervals import wilson, wilson_f1
from tsugiki.evaluation.metrics import Answers, Measure, answers, class_scores, measure
from tsugiki.evaluation.scope import told_scope
from tsugiki.evaluation.shares import on_holdout, share
from tsugiki.evaluation.slices import by_slice

if TYPE_CHECKING:
    from tsugiki.domain import Ints

FULL_CONFUSION = 100  # up to so many labels the whole matrix is given: 10,000 numbers, some 30 kB


def evaluate(
    held_out: HeldOut,
    targets: Ints,
    labels: Sequence[str],
    seed: int,
    *,
    frozen: Ints | None = None,
    facets: Sequence[Mapping[str, str]] | None = None,
    scope: HeadScope | None = None,
) -> Json:
    """`targets` (samples,) of the whole training set, indexing `labels`; at least one row is held out.

    `frozen` are the rows of the frozen holdout, where there is one; `facets` each sample's metadata, to slice by;
    `scope` is the head's.
    Each measure is `{"value", "ci95": [low, high]}`: Wilson's interval for shares, else a bootstrap of the rows.
    `macro_f1` is the mean over labels that occur, or were answered, among the held-out rows.
    Of a class Wilson's too, of its F1 by the share of right answers among the rows that have the label or were answered
    it; of a bin of `reliability`, of its accuracy.
    `confusion` is `{"labels", "matrix"}`, true label by row, up to FULL_CONFUSION labels; beyond, `{"cells"}` lists
    `{"label", "predicted", "count"}` of the mistakes alone, the commonest first.
    `thresholds` say from which score on answers reach a precision (see `threshold_for`), or null.
    """
    given = answers(held_out.probabilities, targets[held_out.rows])
    measures = measure(given, seed)
    sliced: list[Mapping[str, str]] = [] if facets is None else [facets[row] for row in held_out.rows.tolist()]
    rows = len(given.truth)
    majority = int(np.bincount(targets, minlength=len(labels)).argmax())
    return {
        "samples": len(targets),
        "held_out": rows,
        "accuracy": share(int(given.correct.sum()), rows),
        "macro_f1": _measure(measures.macro_f1),
        "log_loss": _measure(measures.log_loss),
        "ece": _measure(measures.ece),
        "majority_baseline": {
            "label": labels[majority],
            "accuracy": share(int((given.truth == majority).sum()), rows),
        },
        "per_class": _per_class(given, labels),
        "confusion": _confusion(given, labels),
        "reliability": [bin._asdict() for bin in reliability(given.score, given.correct)],
        "risk_coverage": told_curve(given.score, given.correct),
        "thresholds": told_thresholds(given.score, given.correct),
        "holdout": on_holdout(given.correct, held_out.rows, frozen),
        "slices": by_slice(given.correct, sliced),
        "out_of_scope": told_scope(scope),
    }


def _measure(found: Measure) -> Json:
    return {"value": found.value, "ci95": list(found.ci95)}


def _per_class(given: Answers, labels: Sequence[str]) -> list[Json]:
    scores = class_scores(given)
    support, answered, hits = scores.support, scores.answered, scores.hits
    return [
        {
            "label": label,
            "precision": float(scores.precision[i]),
            "precision_ci95": list(wilson(int(hits[i]), int(answered[i]))),
            "recall": float(scores.recall[i]),
            "recall_ci95": list(wilson(int(hits[i]), int(support[i]))),
            "f1": float(scores.f1[i]),
            "f1_ci95": list(wilson_f1(int(hits[i]), int(support[i] + answered[i] - hits[i]))),
            "support": int(support[i]),
        }
        for i, label in enumerate(labels)
    ]


def _confusion(given: Answers, labels: Sequence[str]) -> Json:
    pairs, counts = np.unique(given.truth * given.classes + given.answer, return_counts=True)
    if given.classes <= FULL_CONFUSION:
        matrix = np.zeros(given.classes**2, np.int64)
        matrix[pairs] = counts
        return {"labels": list(labels), "matrix": matrix.reshape(given.classes, given.classes).tolist()}
    order = np.argsort(-counts, kind="stable")
    cells = zip(pairs[order].tolist(), counts[order].tolist(), strict=True)
    mistakes = [(*divmod(pair, given.classes), count) for pair, count in cells if pair % (given.classes + 1)]
    return {"cells": [{"label": labels[t], "predicted": labels[p], "count": n} for t, p, n in mistakes]}
