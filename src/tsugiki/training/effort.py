"""How much work a head deserves: folds and strengths, from a count of floating-point operations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tsugiki.training.blending import EVENED_FOR

if TYPE_CHECKING:
    from tsugiki.domain import Modality

# Strengths are on features of mean square norm 1 (see rotation.py), so one grid serves every backbone.
# 1/16 served draws of 2 to 30 rows a class from seven text sets best on the whole, judged on rows not drawn.
USUAL_STRENGTH = 1 / 16
FINE = tuple(USUAL_STRENGTH * 8.0 ** (-i / 2) for i in range(-5, 5))  # 11 down to 1/1,000: half an order apart
COARSE = tuple(USUAL_STRENGTH * 8.0**-i for i in range(-2, 2))  # 4 down to 1/128
HELD_FOLD_PART = 0.8  # of the rows train where one fold of five is held out

EVALUATIONS_PER_STRENGTH = 10  # of loss and gradient at PATH_TOLERANCE; the measuring sets took 3 to 11
NAME_TRIALS = 2  # fits a fold, at one strength, that tell whether names help
PART_TRIALS = 2  # likewise whether evened parts do
# What it may cost to ask whether evened parts serve better. With many classes they did not: banking77 and clinc150, 10
# a class, -0.3 and -0.7 points on validation rows, and asking would cost more. All rows of sst5, amazon_cf_en and cr
# are asked: +0.6, +2.2 (Matthews), +0.5 on rows not trained on.
MOST_ASKING_S = 0.15
EVALUATIONS_LAST_FIT = 20  # at LAST_TOLERANCE, started near the optimum; they took 8 to 20
PATH_TOLERANCE = 3e-3  # 1e-3 takes a fifth longer and chose alike; 1e-2 now and then chose otherwise
LAST_TOLERANCE = 1e-5  # keeps the loss within 1e-4 of its optimum, as the tests hold it to scikit-learn's
FLOPS_PER_SECOND = 4e10  # one thread of a 2020s server, half of its measured rate: the other half is not ours
OVERHEAD_S = 0.02  # of a fit too small for its arithmetic to count

ENOUGH_SECONDS = 60.0  # what an adaptation in the fast lane may take before it is worth cutting corners


@dataclass(frozen=True, slots=True)
class Effort:
    """`every_fold` holds each fold out in turn; else the first fold alone stands for all. Strengths run down.

    Parts of a feature, of `widths`, may be evened if held-out rows say so; () where it is not asked. `evened_for`: see
    blending.py.
    """

    every_fold: bool
    strengths: tuple[float, ...]
    seconds: float
    widths: tuple[int, ...] = ()
    evened_for: float = 0.0


def plan_effort(
    rows: int,
    dim: int,
    classes: int,
    budget_s: float | None,
    *,
    named: bool = False,
    strength: float | None = None,
    widths: tuple[int, ...] = (),
    modality: Modality = "text",
) -> Effort:
    """The most thorough effort that an estimate puts within `budget_s` (None: ENOUGH_SECONDS), else the least one.

    `named`: the classes' names are fitted on too. `strength`: the only one to be tried, None for a choice of them.
    `widths`: of the parts that a feature is joined of.
    """
    allowed = ENOUGH_SECONDS if budget_s is None else budget_s
    fine, coarse = (FINE, COARSE) if strength is None else ((strength,), (strength,))
    candidates = (
        _estimate(rows, dim, classes, every_fold=True, strengths=fine, named=named, widths=widths),
        _estimate(rows, dim, classes, every_fold=False, strengths=fine, named=named),
    )
    for effort in candidates:
        if effort.seconds <= allowed:
            return replace(effort, evened_for=EVENED_FOR[modality])
    return _estimate(rows, dim, classes, every_fold=False, strengths=coarse, named=named)


def estimate_peak_bytes(rows: int, dim: int, classes: int, effort: Effort) -> int:
    """Features, rows turned in one way or in two, a training copy; held-out scores at each strength; the solver's
    memory.
    """
    held = rows if effort.every_fold else rows // 5
    models = 5 if effort.every_fold else 1
    rows_bytes = 4 * (4 if effort.widths else 3) * rows * (dim + 1)
    scores_bytes = 4 * held * classes * (len(effort.strengths) + 2)
    solver_bytes = 4 * 25 * models * classes * (dim + 1)
    return rows_bytes + scores_bytes + solver_bytes


def _estimate(
    rows: int,
    dim: int,
    classes: int,
    *,
    every_fold: bool,
    strengths: tuple[float, ...],
    named: bool,
    widths: tuple[int, ...] = (),
) -> Effort:
    if named:
        rows += classes
    once = 4.0 * rows * classes * (min(rows, dim) + 1)  # two products, each two operations an element
    splits = 5 if every_fold else 1
    visited = min(len(strengths), 7)  # the path ends one strength after the best one
    if named:
        visited += NAME_TRIALS
    trial = splits * HELD_FOLD_PART * EVALUATIONS_PER_STRENGTH * once
    asked = widths if len(widths) > 1 and trial <= MOST_ASKING_S * FLOPS_PER_SECOND else ()
    if asked:
        visited += PART_TRIALS
    seconds = OVERHEAD_S + (visited * trial + EVALUATIONS_LAST_FIT * once) / FLOPS_PER_SECOND
    return Effort(every_fold, strengths, seconds, asked)
