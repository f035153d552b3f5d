"""Several logistic regressions at once, one a label, with an L2 penalty: the loss, its gradient and its curvature.

    sum over rows and labels of -log sigmoid(+-weights @ z)  +  strength / 2 * |weights without bias|^2

so each label's is scikit-learn's `LogisticRegression(C=1 / strength)` on whether a row has the label. The labels share
nothing but strength and matrix products: see softmax.py, whose shapes these are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsugiki.training.softmax import Point, Problem

if TYPE_CHECKING:
    from tsugiki.domain import Floats


def starting_weights(problem: Problem) -> Floats:
    """What is right when features say nothing: how often each label is given, in the bias."""
    weights = np.zeros(problem.shape, np.float32)
    rows = problem.shares.sum(axis=1, keepdims=True)
    # Half a row more on either side: a label that all rows of a fold have, or none, is not certain by that.
    weights[:, :, -1] = np.log((problem.support + 0.5) / (rows - problem.support + 0.5))
    return weights


def evaluate(problem: Problem, weights: Floats, strength: float) -> Point:
    """Loss and gradient, summed over models and labels."""
    models, classes, width = problem.shape
    gradient = np.zeros((models * classes, width), np.float32)
    loss = 0.0
    for part in problem.chunks():
        rows, shares = problem.rows[part], problem.shares[:, None, part]
        scores = _scores(weights, rows)
        truth = problem.truth_of(part)
        loss += float(((losses_of(scores, truth)) * shares).sum(dtype=np.float64))
        off = sigmoid(scores)
        off -= truth
        off *= shares
        gradient += off.reshape(models * classes, -1) @ rows
    gradient = gradient.reshape(weights.shape)
    penalised = weights[:, :, :-1]
    gradient[:, :, :-1] += np.float32(strength) * penalised
    loss += 0.5 * strength * float(np.square(penalised).sum(dtype=np.float64))
    return Point(weights, loss, gradient)


def curvature(problem: Problem, weights: Floats, strength: float) -> Floats:
    """A diagonal stand-in for the Hessian, (models, classes, axes + 1), positive: as softmax.py has it."""
    spread = np.zeros(problem.shape[:2], np.float32)
    for part in problem.chunks():
        chances = sigmoid(_scores(weights, problem.rows[part]))
        chances -= np.square(chances)
        spread += np.einsum("mkr,mr->mk", chances, problem.shares[:, part])
    square = np.square(problem.rows).mean(axis=0)
    curve = np.maximum(spread, 1e-6)[:, :, None] * square  # below it the float32 curvature is rounding
    curve[:, :, :-1] += np.float32(strength)
    return curve


def sigmoid(scores: Floats) -> Floats:
    """1 / (1 + exp(-scores)), without the exponential of a large number."""
    small = np.exp(-np.abs(scores))
    small /= np.float32(1) + small
    np.subtract(np.float32(1), small, out=small, where=scores >= 0)
    return small


def losses_of(scores: Floats, truth: Floats) -> Floats:
    """-log of the chance that `scores` give to `truth`, 0..1, elementwise."""
    losses: Floats = np.maximum(scores, 0) - truth * scores + np.log1p(np.exp(-np.abs(scores)))
    return losses


def _scores(weights: Floats, rows: Floats) -> Floats:
    """(models, classes, rows)."""
    models, classes, width = weights.shape
    scores: Floats = (weights.reshape(models * classes, width) @ rows.T).reshape(models, classes, len(rows))
    return scores
