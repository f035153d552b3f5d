"""The head for a set of features, from rotation to calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tsugiki.domain import HeldOut
from tsugiki.training.crossfit import cross_fit
from tsugiki.training.effort import LAST_TOLERANCE, Effort
from tsugiki.training.examples import Examples
from tsugiki.training.lbfgs import minimise
from tsugiki.training.rotation import principal_axes

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints

Stage = Literal["train", "calibrate"]


@dataclass(frozen=True, slots=True)
class FittedHead:
    """`weight` (classes, dim) and `bias` (classes,) float32 on plain features; `strength` on normalised ones.

    `name_weight` is how many samples the name of a class counted for.
    `losses`: mean held-out log loss at each strength visited, from the strongest.
    """

    weight: Floats
    bias: Floats
    temperature: float
    strength: float
    name_weight: float
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
    names: Floats | None = None,
) -> FittedHead:
    """`features` (rows, dim) finite, of two folds or more; every class has rows, or its name's features do.

    `names` (classes, dim) are the features of what the classes are called, if that is to be heard. `check` raises to
    stop the work.
    """
    rotation = principal_axes(features if names is None else np.concatenate([features, names]))
    examples = Examples(rotation.apply(features), targets, classes, None if names is None else rotation.apply(names))
    check()
    report("train", 0.0)
    crossed = cross_fit(examples, folds, effort, lambda part: report("train", part), check)
    report("calibrate", 0.0)
    problem = examples.pose_all(crossed.name_weight, check)
    solution = minimise(problem, crossed.start, crossed.strength, LAST_TOLERANCE)
    weights = rotation.undo(solution.weights[0])
    report("calibrate", 1.0)
    return FittedHead(
        weight=np.ascontiguousarray(weights[:, :-1]),
        bias=weights[:, -1].copy(),
        temperature=crossed.temperature,
        strength=crossed.strength,
        name_weight=crossed.name_weight,
        losses=crossed.losses,
        steps=solution.steps,
        held_out=crossed.held_out,
    )
