"""The head for a set of features, from rotation to calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tsugiki.domain import HeldOut
from tsugiki.training.crossfit import cross_fit
from tsugiki.training.effort import LAST_TOLERANCE, Effort
from tsugiki.training.lbfgs import minimise
from tsugiki.training.rotation import principal_axes
from tsugiki.training.softmax import pose

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints

Stage = Literal["train", "calibrate"]


@dataclass(frozen=True, slots=True)
class FittedHead:
    """`weight` (classes, dim) and `bias` (classes,) float32 on plain features; `strength` on normalised ones.

    `losses`: mean held-out log loss at each strength visited, from the strongest.
    """

    weight: Floats
    bias: Floats
    temperature: float
    strength: float
    losses: tuple[float, ...]
    steps: int
    held_out: HeldOut


def fit_head(
    features: Floats,
    targets: Ints,
    folds: Ints,
    classes: int,
    effort: Effort,
    report: Callable[[Stage, float], None],
    check: Callable[[], None],
) -> FittedHead:
    """`features` (rows, dim) finite; every class has rows; two folds or more. `check` raises to stop the work."""
    rotation = principal_axes(features)
    rows = rotation.apply(features)
    check()
    report("train", 0.0)
    crossed = cross_fit(rows, targets, folds, classes, effort, lambda part: report("train", part), check)
    report("calibrate", 0.0)
    problem = pose(rows, targets, classes, np.ones((1, len(rows)), np.float32), check)
    solution = minimise(problem, crossed.start, crossed.strength, LAST_TOLERANCE)
    weights = rotation.undo(solution.weights[0])
    report("calibrate", 1.0)
    return FittedHead(
        weight=np.ascontiguousarray(weights[:, :-1]),
        bias=weights[:, -1].copy(),
        temperature=crossed.temperature,
        strength=crossed.strength,
        losses=crossed.losses,
        steps=solution.steps,
        held_out=crossed.held_out,
    )
