"""Cross-fitting: every row is scored by a fit which did not see it, and judged by choices made without it.

The strength and temperature applied to the rows of one block (a fold) are those that served the *other* blocks best;
the head itself takes what served all blocks best. No fit is made twice for this: it is sums over one table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.domain import HeldOut
from tsugiki.training.effort import PATH_TOLERANCE, USUAL_STRENGTH, Effort
from tsugiki.training.lbfgs import follow
from tsugiki.training.softmax import ABSENT_BIAS, pose
from tsugiki.training.strength import choose, choose_without, is_settled
from tsugiki.training.temperature import probabilities, tempered_losses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats, Ints

JOINT_SCORES = 1 << 19  # up to this many scores over all folds, one joint fit is quicker than a fit a fold
HALVES = 2  # blocks to judge each other where a single fold is held out


@dataclass(frozen=True, slots=True)
class CrossFit:
    """`start` (1, classes, axes + 1): the mean of the folds' weights at `strength`, near the optimum on all rows.

    None where the folds' rows are views of different networks. `losses` are the mean held-out log losses at the
    strengths visited, each at its best temperature. `strength` is None where what was given besides served best.
    """

    strength: float | None
    temperature: float
    start: Floats | None
    held_out: HeldOut
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class View:
    """All rows as one network sees them: `rows` (rows, axes + 1). It never saw the targets of `held`.

    `scores` (classes, held) are of the head that was trained with the network, where there is one.
    """

    rows: Floats
    train: Ints
    held: Ints
    scores: Floats | None = None


@dataclass(frozen=True, slots=True)
class _Split:
    """`rows` (rows, axes + 1), which of them to train on, the models' shares (models, train rows) of these, and for
    each model the rows held out from it.
    """

    rows: Floats
    train: Ints
    shares: Floats
    held: tuple[Ints, ...]


def cross_fit(
    rows: Floats,
    targets: Ints,
    folds: Ints,
    classes: int,
    effort: Effort,
    advance: Callable[[float], None],
    check: Callable[[], None],
) -> CrossFit:
    """`rows` (rows, axes + 1), `targets` and `folds` (rows,), of two folds or more.

    `advance` is told the part of the work done; `check` raises to stop it.
    """
    splits = _split(rows, folds, classes, effort)
    held = np.concatenate([part for split in splits for part in split.held])
    blocks = folds[held] if effort.every_fold else np.arange(len(held)) % HALVES
    return _compare(splits, targets, blocks, classes, effort, advance, check)


def cross_fit_views(
    views: Sequence[View],
    targets: Ints,
    classes: int,
    effort: Effort,
    advance: Callable[[float], None],
    check: Callable[[], None],
) -> CrossFit:
    """The same where what was held out in a fold was held out from the network too, so each fold has rows of its own.

    The rows held out of a single view are blocks by turns: the even ones and the odd ones judge each other.
    """
    splits = [_Split(v.rows, v.train, np.ones((1, len(v.train)), np.float32), (v.held,)) for v in views]
    if len(views) == 1:
        blocks = np.arange(len(views[0].held)) % HALVES
    else:
        blocks = np.repeat(np.arange(len(views)), [len(view.held) for view in views])
    given = [view.scores for view in views if view.scores is not None]
    besides = np.concatenate(given, axis=1) if len(given) == len(views) else None
    return replace(_compare(splits, targets, blocks, classes, effort, advance, check, besides), start=None)


def _compare(
    splits: Sequence[_Split],
    targets: Ints,
    blocks: Ints,
    classes: int,
    effort: Effort,
    advance: Callable[[float], None],
    check: Callable[[], None],
    besides: Floats | None = None,
) -> CrossFit:
    """`blocks` (held,) are of the splits' held rows, one after another; `besides` (classes, held) compete."""
    parts = [(split.rows, part) for split in splits for part in split.held]
    held = np.concatenate([part for _, part in parts])
    judged = np.concatenate([_is_judged(split, targets) for split in splits])
    paths = [
        follow(pose(s.rows[s.train], targets[s.train], classes, s.shares, check), effort.strengths, PATH_TOLERANCE)
        for s in splits
    ]
    scores: list[Floats] = []
    starts: list[Floats | None] = []
    tables: list[NDArray[np.float64]] = []
    for place in range(len(effort.strengths)):
        models = [model for path in paths for model in next(path).weights]
        scores.append(
            np.concatenate([_seat(m) @ rows[p].T for m, (rows, p) in zip(models, parts, strict=True)], axis=1)
        )
        starts.append(_mean(models))
        tables.append(_block_losses(scores[-1], targets[held], blocks, judged))
        advance((place + 1) / len(effort.strengths))
        if is_settled(np.stack(tables), effort.strengths):
            break
    visited = effort.strengths[: len(tables)]
    fitted = np.stack(tables).sum(axis=2).min(axis=1)
    if besides is not None:
        scores.append(besides)
        starts.append(None)
        tables.append(_block_losses(besides, targets[held], blocks, judged))
        visited = (*visited, USUAL_STRENGTH)  # no strength of its own: the prior neither helps nor hinders it
    table = np.stack(tables)
    chances = np.empty((len(held), classes), np.float32)
    for i, block in enumerate(np.unique(blocks)):
        inside = blocks == block
        others = choose_without(table, i, visited)
        chances[inside] = probabilities(scores[others.place][:, inside], others.temperature)
    order = np.argsort(held)
    every = choose(table.sum(axis=2), visited)
    losses = fitted / max(int(judged.sum()), 1)
    return CrossFit(
        strength=None if besides is not None and every.place == len(visited) - 1 else visited[every.place],
        temperature=every.temperature,
        start=starts[every.place],
        held_out=HeldOut(held[order], chances[order]),
        losses=tuple(losses.tolist()),
    )


def _mean(models: Sequence[Floats]) -> Floats | None:
    """(1, classes, axes + 1); None where views have different axes."""
    return np.mean(models, axis=0, keepdims=True) if len({model.shape for model in models}) == 1 else None


def _split(rows: Floats, folds: Ints, classes: int, effort: Effort) -> list[_Split]:
    names = np.unique(folds) if effort.every_fold else np.unique(folds)[:1]
    held = tuple(np.flatnonzero(folds == name) for name in names)
    if effort.every_fold and len(names) * classes * len(folds) <= JOINT_SCORES:
        shares = np.stack([folds != name for name in names]).astype(np.float32)
        return [_Split(rows, np.arange(len(folds)), shares, held)]
    trains = [np.flatnonzero(folds != name) for name in names]
    return [_Split(rows, t, np.ones((1, len(t)), np.float32), (h,)) for t, h in zip(trains, held, strict=True)]


def _is_judged(split: _Split, targets: Ints) -> NDArray[np.bool_]:
    """Of each held-out row: did its model see its class? A class never seen says nothing for or against a strength."""
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
