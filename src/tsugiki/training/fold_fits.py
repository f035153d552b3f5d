"""Fits that leave rows out, and the losses of what they left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.training.effort import PATH_TOLERANCE, USUAL_STRENGTH
from tsugiki.training.lbfgs import follow
from tsugiki.training.softmax import ABSENT_BIAS
from tsugiki.training.strength import is_settled
from tsugiki.training.temperature import tempered_losses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats, Ints
    from tsugiki.training.examples import Examples
    from tsugiki.training.softmax import Problem


@dataclass(frozen=True, slots=True)
class Split:
    """Which of the examples' rows to train on, the models' shares (models, train) of them, and what each holds out."""

    examples: Examples
    train: Ints
    shares: Floats
    held: tuple[Ints, ...]


@dataclass(frozen=True, slots=True)
class Path:
    """Of the strengths visited: held-out scores, mean weights, and losses (strengths, temperatures, blocks)."""

    strengths: tuple[float, ...]
    scores: list[Floats]
    starts: list[Floats | None]
    table: NDArray[np.float64]


class FoldFits:
    """Over the splits' held-out rows, one after another: `held` (held,), in `blocks` (held,)."""

    def __init__(self, splits: Sequence[Split], blocks: Ints, check: Callable[[], None]) -> None:
        self.held = np.concatenate([part for split in splits for part in split.held])
        self.blocks = blocks
        self._splits = splits
        self._check = check
        self._targets = splits[0].examples.targets
        self.truths = splits[0].examples.truths

    def losses_at(self, name_weight: float) -> NDArray[np.float64]:
        """At the usual strength, of all held-out rows, (temperatures, blocks)."""
        every = np.ones(len(self.held), np.bool_)
        fits = [follow(problem, (USUAL_STRENGTH,), PATH_TOLERANCE) for problem in self._problems(name_weight)]
        return self._losses(self._scores([model for fit in fits for model in next(fit).weights]), every)

    def is_judged(self, name_weight: float) -> NDArray[np.bool_]:
        """Of each held-out row: did its model see its class? One never seen says nothing for or against a strength."""
        if name_weight > 0.0 or self.truths is not None:
            return np.ones(len(self.held), np.bool_)
        return np.concatenate([_is_judged(split, self._targets) for split in self._splits])

    def follow(self, strengths: Sequence[float], name_weight: float, advance: Callable[[float], None]) -> Path:
        """From strong to weak, until no choice can be expected among what is left."""
        judged = self.is_judged(name_weight)
        paths = [follow(problem, strengths, PATH_TOLERANCE) for problem in self._problems(name_weight)]
        scores: list[Floats] = []
        starts: list[Floats | None] = []
        tables: list[NDArray[np.float64]] = []
        for place in range(len(strengths)):
            models = [model for path in paths for model in next(path).weights]
            scores.append(self._scores(models))
            starts.append(_mean(models))
            tables.append(self._losses(scores[-1], judged))
            advance((place + 1) / len(strengths))
            if is_settled(np.stack(tables), strengths):
                break
        return Path(tuple(strengths[: len(scores)]), scores, starts, np.stack(tables))

    def beside(self, path: Path, scores: Floats, name_weight: float) -> Path:
        """The path, and as if at one more strength scores (classes, held) that no fit here has made."""
        losses = self._losses(scores, self.is_judged(name_weight))
        return Path(
            (*path.strengths, USUAL_STRENGTH),  # no strength of its own: the prior neither helps nor hinders it
            [*path.scores, scores],
            [*path.starts, None],
            np.concatenate([path.table, losses[None]]),
        )

    def _problems(self, name_weight: float) -> list[Problem]:
        return [split.examples.pose(split.train, split.shares, name_weight, self._check) for split in self._splits]

    def _scores(self, models: Sequence[Floats]) -> Floats:
        parts = [(split.examples.rows, part) for split in self._splits for part in split.held]
        return np.concatenate(
            [_seat(model) @ rows[part].T for model, (rows, part) in zip(models, parts, strict=True)], axis=1
        )

    def _losses(self, scores: Floats, judged: NDArray[np.bool_]) -> NDArray[np.float64]:
        return _block_losses(scores, self._targets[self.held], self.blocks, judged, self.truths)


def _mean(models: Sequence[Floats]) -> Floats | None:
    """(1, classes, axes + 1); None where views have different axes."""
    return np.mean(models, axis=0, keepdims=True) if len({model.shape for model in models}) == 1 else None


def _is_judged(split: Split, targets: Ints) -> NDArray[np.bool_]:
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


def _block_losses(
    scores: Floats, targets: Ints, blocks: Ints, judged: NDArray[np.bool_], truths: Floats | None
) -> NDArray[np.float64]:
    """Losses summed over the judged rows of each block, (temperatures, blocks)."""
    doubt = 1.0 / (float(judged.sum()) + 2.0)
    losses = tempered_losses(scores, targets, doubt, truths) * judged
    columns = [losses[:, blocks == block].sum(axis=1, dtype=np.float64) for block in np.unique(blocks)]
    return np.stack(columns, axis=1)
