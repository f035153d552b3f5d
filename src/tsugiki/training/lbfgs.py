"""L-BFGS with a diagonal preconditioner (Nocedal & Wright 2006, algorithm 7.4), and the path of strengths.

Each step costs one loss and gradient; three to eleven steps lead from one strength's optimum to the next one's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.training.losses import Loss, loss_of
from tsugiki.training.softmax import Point, Problem

if TYPE_CHECKING:
    from tsugiki.domain import Floats

MEMORY = 10  # pairs kept: a strength takes some ten steps, so more would never be used
MAX_STEPS = 200  # ten times what the measuring sets need at the tightest tolerance
DECREASE = 1e-4  # Armijo's constant, Nocedal & Wright 2006, section 3.1
SHORTEST = 1e-3  # a step cut below this finds only float32 rounding


@dataclass(frozen=True, slots=True)
class Solution:
    """`weights` (models, classes, axes + 1); `loss` summed over the models; `steps` taken."""

    weights: Floats
    loss: float
    steps: int


@dataclass(frozen=True, slots=True)
class _Pair:
    """A step and what it did to the gradient; `inverse` is 1 / (step . change)."""

    step: Floats
    change: Floats
    inverse: float


def follow(problem: Problem, strengths: Sequence[float], tolerance: float) -> Iterator[Solution]:
    """The optimum at each strength, each started from the one before: give them from strong to weak."""
    weights = loss_of(problem).start(problem)
    for strength in strengths:
        solution = minimise(problem, weights, strength, tolerance)
        weights = solution.weights
        yield solution


def minimise(problem: Problem, start: Floats, strength: float, tolerance: float) -> Solution:
    """Stops when one more Newton-like step would lower the loss by less than about `tolerance` of itself."""
    loss = loss_of(problem)
    easing = 1.0 / loss.curvature(problem, start, strength)
    point = loss.evaluate(problem, start, strength)
    pairs: list[_Pair] = []
    for steps in range(MAX_STEPS):
        direction = _direction(point.gradient, pairs, easing)
        slope = _dot(direction, point.gradient)
        if -slope <= tolerance * point.loss:
            return Solution(point.weights, point.loss, steps)
        reached = _search(problem, loss, point, direction, slope, strength)
        if reached is None:
            return Solution(point.weights, point.loss, steps)
        step, change = reached.weights - point.weights, reached.gradient - point.gradient
        curved = _dot(step, change)
        if curved > 0.0:
            pairs = [*pairs[1 - MEMORY :], _Pair(step, change, 1.0 / curved)]
        point = reached
    return Solution(point.weights, point.loss, MAX_STEPS)


def _direction(gradient: Floats, pairs: Sequence[_Pair], easing: Floats) -> Floats:
    """Minus the estimated inverse Hessian times the gradient: the two loops."""
    ahead = -gradient
    parts: list[float] = []
    for pair in reversed(pairs):
        part = pair.inverse * _dot(pair.step, ahead)
        parts.append(part)
        ahead -= np.float32(part) * pair.change
    ahead *= easing
    if pairs:
        last = pairs[-1]
        ahead *= np.float32(1.0 / (last.inverse * _dot(last.change, easing * last.change)))
    for pair, part in zip(pairs, reversed(parts), strict=True):
        ahead += np.float32(part - pair.inverse * _dot(pair.change, ahead)) * pair.step
    return ahead


def _search(
    problem: Problem, loss: Loss, point: Point, direction: Floats, slope: float, strength: float
) -> Point | None:
    """The first of 1, 0.4, 0.16, ... of `direction` that lowers the loss enough; None if rounding hides all of them."""
    length = 1.0
    while length >= SHORTEST:
        step = np.multiply(direction, length, dtype=np.float32)
        reached = loss.evaluate(problem, point.weights + step, strength)
        if reached.loss <= point.loss + DECREASE * length * slope:
            return reached
        length *= 0.4
    return None


def _dot(left: Floats, right: Floats) -> float:
    return float(np.vdot(left, right))
