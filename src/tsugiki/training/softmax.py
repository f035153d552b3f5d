"""Multinomial logistic regression with an L2 penalty: the loss, its gradient and its curvature.

    sum over rows of -log softmax(weights @ z)[target]  +  strength / 2 * |weights without bias|^2

which is scikit-learn's `LogisticRegression(C=1 / strength)`. Several models (one a fold) that see different parts of
the same rows are one problem: their losses just add up, and one matrix product serves all. The products run in BLAS,
which releases the interpreter lock, so other threads of the process go on predicting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints

CHUNK_SCORES = 1 << 20  # 4 MiB of float32: scores stay in the cache between their product, softmax and gradient
FEWEST_ROWS = 64  # thinner matrix products waste the processor's registers
ABSENT_BIAS = -30.0  # exp(-30) is lost beside any real probability: a class without rows takes no part


@dataclass(frozen=True, slots=True)
class Problem:
    """`rows` (rows, axes + 1) as `Rotation.apply` gives them, `targets` (rows,).

    `shares` (models, rows) float32: 1 where a model trains on a row, 0 where the row is held out from it;
    `support` (models, classes): how many rows of each class that leaves. `check` raises to stop the work; it is
    called at least once a chunk, which takes milliseconds.
    With `truths` (kinds, classes) of 0 and 1 the targets index these, and a row may be of several classes or none: see
    sigmoid.py.
    """

    rows: Floats
    targets: Ints
    shares: Floats
    support: Floats
    check: Callable[[], None]
    truths: Floats | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the weights: (models, classes, axes + 1)."""
        return (*self.support.shape, self.rows.shape[1])

    def chunks(self) -> Iterator[slice]:
        step = max(FEWEST_ROWS, CHUNK_SCORES // self.support.size)
        for start in range(0, len(self.targets), step):
            self.check()
            yield slice(start, start + step)

    def truth_of(self, part: slice) -> Floats:
        """(classes, rows) of 0 and 1."""
        assert self.truths is not None, "each row is of one class: this is a bug"
        return self.truths[self.targets[part]].T


@dataclass(frozen=True, slots=True)
class Point:
    """A place on the way: `weights` and `gradient` (models, classes, axes + 1)."""

    weights: Floats
    loss: float
    gradient: Floats


def pose(
    rows: Floats,
    targets: Ints,
    classes: int,
    shares: Floats,
    check: Callable[[], None],
    truths: Floats | None = None,
) -> Problem:
    """A problem with its support counted; `targets` are below `classes`, or index `truths` (kinds, classes)."""
    kinds = classes if truths is None else len(truths)
    counts = np.stack([np.bincount(targets, share, kinds) for share in shares]).astype(np.float32)
    return Problem(rows, targets, shares, counts if truths is None else counts @ truths, check, truths)


def starting_weights(problem: Problem) -> Floats:
    """What is right when features say nothing: the classes' frequencies, in the bias."""
    weights = np.zeros(problem.shape, np.float32)
    frequency = np.log(np.maximum(problem.support, 1.0))
    weights[:, :, -1] = np.where(problem.support > 0, frequency - frequency.mean(axis=1, keepdims=True), ABSENT_BIAS)
    return weights


def evaluate(problem: Problem, weights: Floats, strength: float) -> Point:
    """Loss and gradient; a class without rows in a model gets no gradient there, so it stays where it started."""
    models, classes, width = problem.shape
    gradient = np.zeros((models * classes, width), np.float32)
    loss = 0.0
    for part in problem.chunks():
        rows, targets, shares = problem.rows[part], problem.targets[part], problem.shares[:, part]
        each = np.arange(len(rows))
        scores = _shifted_scores(weights, rows)
        log_chosen = scores[:, targets, each]
        np.exp(scores, out=scores)
        totals = scores.sum(axis=1)
        loss += float(((np.log(totals) - log_chosen) * shares).sum(dtype=np.float64))
        scores *= (shares / totals)[:, None, :]
        scores[:, targets, each] -= shares
        gradient += scores.reshape(models * classes, -1) @ rows
    gradient = gradient.reshape(weights.shape)
    penalised = weights[:, :, :-1]
    gradient[:, :, :-1] += np.float32(strength) * penalised
    gradient[problem.support == 0] = 0.0
    loss += 0.5 * strength * float(np.square(penalised).sum(dtype=np.float64))
    return Point(weights, loss, gradient)


def curvature(problem: Problem, weights: Floats, strength: float) -> Floats:
    """A diagonal stand-in for the Hessian, (models, classes, axes + 1), positive.

    Exact where p(1 - p) of a class does not depend on the row and the axes are principal (Böhning 1992 puts the
    worst case, 1/2, for p(1 - p); with many classes the mean is far smaller, and so much better a scale).
    """
    spread = np.zeros(problem.shape[:2], np.float32)
    for part in problem.chunks():
        chances = _shifted_scores(weights, problem.rows[part])
        np.exp(chances, out=chances)
        chances /= chances.sum(axis=1)[:, None, :]
        chances -= np.square(chances)
        spread += np.einsum("mkr,mr->mk", chances, problem.shares[:, part])
    square = np.square(problem.rows).mean(axis=0)
    # An even softmax keeps a spread above 1e-6 rows; below it the float32 curvature is rounding.
    curve = np.maximum(spread, 1e-6)[:, :, None] * square
    curve[:, :, :-1] += np.float32(strength)
    return curve


def _shifted_scores(weights: Floats, rows: Floats) -> Floats:
    """(models, classes, rows), the largest of each row at 0. Classes before rows: reductions then vectorise."""
    models, classes, width = weights.shape
    scores: Floats = (weights.reshape(models * classes, width) @ rows.T).reshape(models, classes, len(rows))
    scores -= scores.max(axis=1, keepdims=True)
    return scores
