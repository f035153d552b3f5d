"""What a head's fit minimises: one of the classes of each row, or each of the labels by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsugiki.training import sigmoid, softmax
from tsugiki.training.softmax import Point, Problem

if TYPE_CHECKING:
    from tsugiki.domain import Floats, TrainingSet


class Loss(NamedTuple):
    """`evaluate` and `curvature` are of a problem, at weights (models, classes, axes + 1) and a strength."""

    start: Callable[[Problem], Floats]
    evaluate: Callable[[Problem, Floats, float], Point]
    curvature: Callable[[Problem, Floats, float], Floats]


ONE_OF_ALL = Loss(softmax.starting_weights, softmax.evaluate, softmax.curvature)
EACH = Loss(sigmoid.starting_weights, sigmoid.evaluate, sigmoid.curvature)


def loss_of(problem: Problem) -> Loss:
    return ONE_OF_ALL if problem.truths is None else EACH


def truths_of(data: TrainingSet) -> Floats | None:
    """Which labels each of the combinations holds, (combinations, labels) of 0 and 1; None where a sample has one."""
    if data.combinations is None:
        return None
    truths = np.zeros((len(data.combinations), len(data.labels)), np.float32)
    for kind, members in enumerate(data.combinations):
        truths[kind, list(members)] = 1.0
    return truths
