"""Accuracy, F1 and log loss, on the rows as they are and on bootstrap samples of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.evaluation.calibration import expected_calibration_error, resampled_errors
from tsugiki.evaluation.intervals import Interval, percentile, resamples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats, Ints

LEAST_CHANCE = float(np.finfo(np.float32).eps)  # as scikit-learn's log_loss: a float32 0 is not a proof


@dataclass(frozen=True, slots=True)
class Answers:
    """What was held out, row by row: the true class, the answered one, its score, and the loss in nats."""

    truth: Ints
    answer: Ints
    score: Floats
    loss: Floats
    classes: int

    @property
    def correct(self) -> NDArray[np.bool_]:
        return self.truth == self.answer


@dataclass(frozen=True, slots=True)
class ClassScores:
    """All (classes,); a share is 0 where nothing can be said (no rows, or never answered), as scikit-learn has it.

    The counts are of rows that have the class, were answered it, and both.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: Ints
    answered: Ints
    hits: Ints


@dataclass(frozen=True, slots=True)
class Measure:
    value: float
    ci95: Interval


@dataclass(frozen=True, slots=True)
class Measures:
    macro_f1: Measure
    log_loss: Measure
    ece: Measure


def answers(probabilities: Floats, truth: Ints) -> Answers:
    """From `probabilities` (rows, classes) and `truth` (rows,); of equal scores the first class is the answer."""
    each = np.arange(len(truth))
    answer = probabilities.argmax(axis=1)
    chance = np.maximum(probabilities[each, truth], LEAST_CHANCE)
    return Answers(truth, answer, probabilities[each, answer], -np.log(chance), probabilities.shape[1])


def class_scores(given: Answers) -> ClassScores:
    counts = [np.bincount(c, minlength=given.classes) for c in (given.truth, given.answer, given.truth[given.correct])]
    support, answered, hits = counts
    return ClassScores(
        precision=hits / np.maximum(answered, 1),
        recall=hits / np.maximum(support, 1),
        f1=2.0 * hits / np.maximum(support + answered, 1),
        support=support,
        answered=answered,
        hits=hits,
    )


def measure(given: Answers, seed: int) -> Measures:
    """Macro F1 (over classes that occur or were answered), log loss and ECE, each with its bootstrap interval."""
    f1_draws: list[NDArray[np.float64]] = []
    loss_draws: list[NDArray[np.float64]] = []
    ece_draws: list[NDArray[np.float64]] = []
    rows = len(given.truth)
    for counts in resamples(rows, seed):
        f1_draws.append(_macro_f1(given, counts))
        loss_draws.append((counts @ given.loss).astype(np.float64) / rows)
        ece_draws.append(resampled_errors(given.score, given.correct, counts))
    once = np.ones((1, rows), np.float32)
    return Measures(
        macro_f1=_with_interval(float(_macro_f1(given, once)[0]), f1_draws, 1.0),
        log_loss=_with_interval(float(given.loss.mean(dtype=np.float64)), loss_draws),
        ece=_with_interval(expected_calibration_error(given.score, given.correct), ece_draws, 1.0),
    )


def _with_interval(value: float, draws: list[NDArray[np.float64]], most: float = math.inf) -> Measure:
    return Measure(value, percentile(value, np.concatenate(draws), most))


def _macro_f1(given: Answers, counts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each sample: `counts` (draws, rows) -> (draws,)."""
    right = given.correct
    mass = _sum_by_class(counts, given.truth, given.classes) + _sum_by_class(counts, given.answer, given.classes)
    hits = _sum_by_class(counts[:, right], given.truth[right], given.classes)
    f1 = 2.0 * hits / np.maximum(mass, 1.0)
    return f1.sum(axis=1) / np.maximum((mass > 0.0).sum(axis=1), 1)


def _sum_by_class(counts: NDArray[np.float32], classes_of_rows: Ints, classes: int) -> NDArray[np.float64]:
    """(draws, rows) -> (draws, classes), by runs of rows of one class: no matrix of rows by classes is made."""
    summed = np.zeros((len(counts), classes))
    if len(classes_of_rows) == 0:
        return summed
    order = np.argsort(classes_of_rows, kind="stable")
    present, starts = np.unique(classes_of_rows[order], return_index=True)
    summed[:, present] = np.add.reduceat(counts[:, order], starts, axis=1)
    return summed
