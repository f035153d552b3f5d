"""How a temperature changes the loss of held-out scores (Guo et al. 2017), tabulated.

One table answers every later question (which temperature, judged on which folds, at which strength) by adding and
comparing, so cross-fitting costs no more than one pass over the scores for each temperature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.training.sigmoid import losses_of, sigmoid

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints

# From 1/16 (scores far too timid) to 16 (far too sure), a quarter of an octave times two apart: between two of them a
# parabola is exact to a thousandth of a nat.
TEMPERATURES = tuple(2.0 ** (i / 2 - 4) for i in range(17))
CHUNK_SCORES = 1 << 18  # 1 MiB of float32, for it is gone over once a temperature


def tempered_losses(scores: Floats, targets: Ints, doubt: float, truths: Floats | None = None) -> Floats:
    """Log loss of each row at each temperature, (temperatures, rows), from `scores` (classes, rows).

    With `truths` (kinds, classes), which `targets` index then, each class is a question of its own, and a row's loss
    the sum of theirs.

    `doubt` is the chance given to all wrong classes together instead of 0: with few rows, a set answered without a
    mistake is not proof of certainty (Platt 1999 takes 1 / (rows + 2)).
    """
    if truths is not None:
        return _each_tempered(scores, targets, truths, doubt)
    classes, rows = scores.shape
    losses = np.empty((len(TEMPERATURES), rows), np.float32)
    for part in _parts(scores):
        shifted = scores[:, part] - scores[:, part].max(axis=0)
        chosen = shifted[targets[part], np.arange(shifted.shape[1])]
        others = (shifted.sum(axis=0) - chosen) / max(classes - 1, 1)
        expected = (1.0 - doubt) * chosen + doubt * others
        for i, temperature in enumerate(TEMPERATURES):
            totals = np.exp(shifted * np.float32(1.0 / temperature)).sum(axis=0)
            losses[i, part] = np.log(totals) - expected / temperature
    return losses


def refine(losses: Sequence[float], best: int) -> float:
    """The temperature at the foot of the parabola through `losses[best]` and its neighbours, in its logarithm."""
    if not 0 < best < len(TEMPERATURES) - 1:
        return TEMPERATURES[best]
    left, middle, right = losses[best - 1 : best + 2]
    bend = left - 2.0 * middle + right
    if bend <= 0.0:
        return TEMPERATURES[best]
    shift = 0.5 * (left - right) / bend
    return TEMPERATURES[best] * (TEMPERATURES[1] / TEMPERATURES[0]) ** shift


def _each_tempered(scores: Floats, targets: Ints, truths: Floats, doubt: float) -> Floats:
    losses = np.empty((len(TEMPERATURES), scores.shape[1]), np.float32)
    for part in _parts(scores):
        truth = truths[targets[part]].T
        expected = (truth + np.float32(doubt) * (1 - 2 * truth)).astype(np.float32)
        for i, temperature in enumerate(TEMPERATURES):
            losses[i, part] = losses_of(scores[:, part] * np.float32(1.0 / temperature), expected).sum(axis=0)
    return losses


def _parts(scores: Floats) -> Iterator[slice]:
    """Of the rows of `scores` (classes, rows), as many at a time as make CHUNK_SCORES."""
    classes, rows = scores.shape
    step = max(64, CHUNK_SCORES // classes)
    return (slice(start, start + step) for start in range(0, rows, step))


def probabilities(scores: Floats, temperature: float, *, each: bool = False) -> Floats:
    """softmax(scores / temperature), (classes, rows) -> (rows, classes); each row sums to 1.

    By `each` the sigmoid instead, of every class by itself.
    """
    if each:
        return sigmoid(scores.T / np.float32(temperature))
    chances = scores.T / np.float32(temperature)
    chances -= chances.max(axis=1, keepdims=True)
    np.exp(chances, out=chances)
    chances /= chances.sum(axis=1, keepdims=True)
    return chances
