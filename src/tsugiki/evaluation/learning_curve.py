"""What twice the samples would add, told by what the last doubling added.

A ridge classifier on one-hot targets stands in for the head: the sums of squares of all its training sets are sums of
a few blocks', so the whole curve costs about as much as a look at the features. It is some points less accurate than
the head; the difference between two of its sizes is what is asked of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.evaluation.intervals import Interval, newcombe_paired

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats, Ints

# Of the mean square norm of centred features. 1 served 5 and 10 rows a class of banking77, clinc150 and hwu64 best of
# 0.1, 1 and 10.
RIDGE = 1.0
MAX_ROWS = 10_000  # a slope of more is no surer in its first two digits


@dataclass(frozen=True, slots=True)
class Doubling:
    """Accuracy on held-out rows with all other rows, less that with every second one of each class."""

    gain: float
    ci95: Interval


def last_doubling(features: Floats, targets: Ints, folds: Ints, classes: int) -> Doubling:
    """`features` (rows, dim), `targets` and `folds` (rows,) of two folds or more."""
    if len(features) > MAX_ROWS:
        kept = np.linspace(0, len(features) - 1, MAX_ROWS).astype(np.int64)
        features, targets, folds = features[kept], targets[kept], folds[kept]
    centred = features - features.mean(axis=0)
    scale = float(np.square(centred).sum(axis=1).mean()) ** -0.5 if centred.any() else 1.0
    rows = np.concatenate([centred * np.float32(scale), np.ones((len(features), 1), np.float32)], axis=1)
    rows = _on_own_axes(rows) if len(rows) < rows.shape[1] else rows
    second = _rank_in_class(targets, folds) % 2 == 1
    names = np.unique(folds)
    blocks = [_Sums.over(rows[m], targets[m], classes) for name in names for m in _halves(folds == name, second)]
    every = sum(blocks[1:], blocks[0])
    halves = sum(blocks[2::2], blocks[0])
    whole, half = np.empty(len(rows), np.bool_), np.empty(len(rows), np.bool_)
    for i, name in enumerate(names):
        held = folds == name
        first_half, second_half = blocks[2 * i], blocks[2 * i + 1]
        whole[held] = (every - first_half - second_half).answers(rows[held]) == targets[held]
        half[held] = (halves - first_half).answers(rows[held]) == targets[held]
    return _difference(whole, half)


@dataclass(frozen=True, slots=True)
class _Sums:
    """`gram` (axes, axes) and `moments` (classes, axes) of some rows: all that a ridge fit reads of them."""

    gram: Floats
    moments: Floats

    @staticmethod
    def over(rows: Floats, targets: Ints, classes: int) -> _Sums:
        moments = np.zeros((classes, rows.shape[1]), np.float32)
        np.add.at(moments, targets, rows)
        return _Sums(rows.T @ rows, moments)

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.gram + other.gram, self.moments + other.moments)

    def __sub__(self, other: _Sums) -> _Sums:
        return _Sums(self.gram - other.gram, self.moments - other.moments)

    def answers(self, rows: Floats) -> Ints:
        eased = self.gram + np.float32(RIDGE) * np.eye(len(self.gram), dtype=np.float32)
        return (rows @ np.linalg.solve(eased, self.moments.T)).argmax(axis=1)


def _on_own_axes(rows: Floats) -> Floats:
    """The same rows (rows, rows): turned, so that no ridge fit notices, onto as many axes as there are rows."""
    variances, axes = np.linalg.eigh(rows.astype(np.float64) @ rows.T)
    return (axes * np.sqrt(np.maximum(variances, 0.0))).astype(np.float32)


def _halves(fold: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return fold & ~second, fold & second


def _rank_in_class(targets: Ints, folds: Ints) -> Ints:
    """Of each row among its class's, fold by fold: what every second of is a half of the class."""
    order = np.lexsort((folds, targets))
    starts = np.flatnonzero(np.append(True, np.diff(targets[order]) != 0))
    sizes = np.diff(np.append(starts, len(order)))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    return ranks


def _difference(whole: NDArray[np.bool_], half: NDArray[np.bool_]) -> Doubling:
    both, gained, lost = int((whole & half).sum()), int((whole & ~half).sum()), int((half & ~whole).sum())
    interval = newcombe_paired(both, gained, lost, len(whole) - both - gained - lost)
    return Doubling(float(whole.mean() - half.mean()), interval)
