"""Cross-fitting: every row is scored by a fit which did not see it, and judged by choices made without it.

The strength and temperature applied to the rows of one block (a fold) are those that served the *other* blocks best;
the head itself takes what served all blocks best. No fit is made twice for this: it is sums over one table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.domain import HeldOut
from tsugiki.training.blending import Blend, blend
from tsugiki.training.effort import PATH_TOLERANCE, USUAL_STRENGTH, Effort
from tsugiki.training.lbfgs import follow
from tsugiki.training.softmax import ABSENT_BIAS
from tsugiki.training.strength import choose, choose_without, is_settled
from tsugiki.training.temperature import probabilities, tempered_losses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats, Ints
    from tsugiki.training.examples import Examples
    from tsugiki.training.softmax import Problem

JOINT_SCORES = 1 << 19  # up to this many scores over all folds, one joint fit is quicker than a fit a fold
HALVES = 2  # blocks to judge each other where a single fold is held out


@dataclass(frozen=True, slots=True)
class CrossFit:
    """`start` (1, classes, axes + 1): the mean of the folds' weights at `strength`, near the optimum on all rows.

    `losses` are the mean held-out log losses at the strengths visited, each at its best temperature; `name_weight`
    is how many samples a label's name counts for.
    """

    strength: float
    temperature: float
    name_weight: float
    start: Floats
    held_out: HeldOut
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Split:
    """Rows to train on, the models' shares (models, rows) of them, and for each model the rows held out from it."""

    train: Ints
    shares: Floats
    held: tuple[Ints, ...]


@dataclass(frozen=True, slots=True)
class _Path:
    """Of the strengths visited: held-out scores, mean weights, and losses (strengths, temperatures, blocks)."""

    scores: list[Floats]
    starts: list[Floats]
    table: NDArray[np.float64]


def cross_fit(
    examples: Examples, folds: Ints, effort: Effort, advance: Callable[[float], None], check: Callable[[], None]
) -> CrossFit:
    """`folds` (rows,), two or more. `advance` is told the part of the work done; `check` raises to stop it."""
    fold_fits = _FoldFits(examples, folds, effort, check)
    blend = fold_fits.blend()
    shares = len(blend.weights)
    paths = {
        weight: fold_fits.follow(weight, lambda part, done=done: advance((done + part) / shares))
        for done, weight in enumerate(blend.weights)
    }
    held, blocks = fold_fits.held, fold_fits.blocks
    chances = np.empty((len(held), examples.classes), np.float32)
    for i, (block, weight) in enumerate(zip(np.unique(blocks), blend.blocks, strict=True)):
        inside = blocks == block
        others = choose_without(paths[weight].table, i, effort.strengths)
        chances[inside] = probabilities(paths[weight].scores[others.place][:, inside], others.temperature)
    order = np.argsort(held)
    path = paths[blend.whole]
    every = choose(path.table.sum(axis=2), effort.strengths)
    judged = int(fold_fits.is_judged(blend.whole).sum())
    losses = path.table.sum(axis=2).min(axis=1) / max(judged, 1)
    return CrossFit(
        strength=effort.strengths[every.place],
        temperature=every.temperature,
        name_weight=blend.whole,
        start=path.starts[every.place],
        held_out=HeldOut(held[order], chances[order]),
        losses=tuple(losses.tolist()),
    )


class _FoldFits:
    """Fits that leave rows out, at whatever weight of the names. `held` (held,) rows, in `blocks` (held,)."""

    def __init__(self, examples: Examples, folds: Ints, effort: Effort, check: Callable[[], None]) -> None:
        self._examples = examples
        self._effort = effort
        self._check = check
        self._splits = _split(folds, examples.classes, effort)
        self._parts = [part for split in self._splits for part in split.held]
        self.held = np.concatenate(self._parts)
        self.blocks = folds[self.held] if effort.every_fold else np.arange(len(self.held)) % HALVES

    def is_judged(self, name_weight: float) -> NDArray[np.bool_]:
        """Of each held-out row: did its model see its class? One never seen says nothing for or against a strength."""
        if name_weight > 0.0:
            return np.ones(len(self.held), np.bool_)
        return np.concatenate([_is_judged(split, self._examples.targets) for split in self._splits])

    def blend(self) -> Blend:
        every = np.ones(len(self.held), np.bool_)

        def losses_at(name_weight: float) -> NDArray[np.float64]:
            fits = [follow(problem, (USUAL_STRENGTH,), PATH_TOLERANCE) for problem in self._problems(name_weight)]
            return self._losses(self._scores([model for fit in fits for model in next(fit).weights]), every)

        return blend(self._examples, len(np.unique(self.blocks)), losses_at)

    def follow(self, name_weight: float, advance: Callable[[float], None]) -> _Path:
        """From strong to weak, until no choice can be expected among what is left."""
        strengths = self._effort.strengths
        judged = self.is_judged(name_weight)
        paths = [follow(problem, strengths, PATH_TOLERANCE) for problem in self._problems(name_weight)]
        scores: list[Floats] = []
        starts: list[Floats] = []
        tables: list[NDArray[np.float64]] = []
        for place in range(len(strengths)):
            models = [model for path in paths for model in next(path).weights]
            scores.append(self._scores(models))
            starts.append(np.mean(models, axis=0, keepdims=True))
            tables.append(self._losses(scores[-1], judged))
            advance((place + 1) / len(strengths))
            if is_settled(np.stack(tables), strengths):
                break
        return _Path(scores, starts, np.stack(tables))

    def _problems(self, name_weight: float) -> list[Problem]:
        return [self._examples.pose(s.train, s.shares, name_weight, self._check) for s in self._splits]

    def _scores(self, models: Sequence[Floats]) -> Floats:
        rows = self._examples.rows
        parts = zip(models, self._parts, strict=True)
        return np.concatenate([_seat(model) @ rows[part].T for model, part in parts], axis=1)

    def _losses(self, scores: Floats, judged: NDArray[np.bool_]) -> NDArray[np.float64]:
        return _block_losses(scores, self._examples.targets[self.held], self.blocks, judged)


def _split(folds: Ints, classes: int, effort: Effort) -> list[_Split]:
    names = np.unique(folds) if effort.every_fold else np.unique(folds)[:1]
    held = tuple(np.flatnonzero(folds == name) for name in names)
    if effort.every_fold and len(names) * classes * len(folds) <= JOINT_SCORES:
        shares = np.stack([folds != name for name in names]).astype(np.float32)
        return [_Split(np.arange(len(folds)), shares, held)]
    trains = [np.flatnonzero(folds != name) for name in names]
    return [_Split(t, np.ones((1, len(t)), np.float32), (h,)) for t, h in zip(trains, held, strict=True)]


def _is_judged(split: _Split, targets: Ints) -> NDArray[np.bool_]:
    trained = targets[split.train]
    models = zip(split.shares, split.held, strict=True)
    return np.concatenate([np.isin(targets[held], trained[share > 0]) for share, held in models])


def _seat(weights: Floats) -> Floats:
    """Weights (classes, axes + 1) with each class the model never saw set just below its least likely one."""
    absent = (weights[:, -1] == ABSENT_BIAS) & ~weights[:, :-1].any(axis=1)
    if not absent.any():
        return weights
    seated = weights.copy()
    seated[absent, -1] = weights[~absent, -1].min() - np.float32(np.log(2.0))
    return seated


def _block_losses(scores: Floats, targets: Ints, blocks: Ints, judged: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Losses summed over the judged rows of each block, (temperatures, blocks)."""
    doubt = 1.0 / (float(judged.sum()) + 2.0)
    losses = tempered_losses(scores, targets, doubt) * judged
    columns = [losses[:, blocks == block].sum(axis=1, dtype=np.float64) for block in np.unique(blocks)]
    return np.stack(columns, axis=1)
