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
from tsugiki.training.examples import Examples
from tsugiki.training.fold_fits import FoldFits, Split
from tsugiki.training.strength import choose, choose_without
from tsugiki.training.temperature import probabilities

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints
    from tsugiki.training.effort import Effort

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
    start: Floats | None
    held_out: HeldOut
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class View:
    """All rows as one network sees them: `rows` (rows, axes + 1). It never saw the targets of `held`."""

    rows: Floats
    train: Ints
    held: Ints


def cross_fit(
    examples: Examples, folds: Ints, effort: Effort, advance: Callable[[float], None], check: Callable[[], None]
) -> CrossFit:
    """`folds` (rows,), two or more. `advance` is told the part of the work done; `check` raises to stop it."""
    splits = _split(examples, folds, effort)
    held = np.concatenate([part for split in splits for part in split.held])
    blocks = folds[held] if effort.every_fold else np.arange(len(held)) % HALVES
    return _compare(FoldFits(splits, blocks, check), examples.classes, effort.strengths, advance)


def cross_fit_views(
    views: Sequence[View],
    targets: Ints,
    classes: int,
    effort: Effort,
    advance: Callable[[float], None],
    check: Callable[[], None],
) -> CrossFit:
    """The same where what was held out in a fold was held out from the network too, so each fold has rows of its own.

    The rows held out of a single view are blocks by turns: the even ones and the odd ones judge each other. `start` is
    None: weights on the axes of different networks have no mean.
    """
    every = [np.ones((1, len(view.train)), np.float32) for view in views]
    splits = [
        Split(Examples(view.rows, targets, classes), view.train, shares, (view.held,))
        for view, shares in zip(views, every, strict=True)
    ]
    if len(views) == 1:
        blocks = np.arange(len(views[0].held)) % HALVES
    else:
        blocks = np.repeat(np.arange(len(views)), [len(view.held) for view in views])
    found = _compare(FoldFits(splits, blocks, check), classes, effort.strengths, advance)
    return replace(found, start=None)


def _compare(fits: FoldFits, classes: int, strengths: Sequence[float], advance: Callable[[float], None]) -> CrossFit:
    blend = fits.blend()
    paths = {
        weight: fits.follow(strengths, weight, lambda part, done=done: advance((done + part) / len(blend.weights)))
        for done, weight in enumerate(blend.weights)
    }
    chances = np.empty((len(fits.held), classes), np.float32)
    for i, (block, weight) in enumerate(zip(np.unique(fits.blocks), blend.blocks, strict=True)):
        inside = fits.blocks == block
        others = choose_without(paths[weight].table, i, strengths)
        chances[inside] = probabilities(paths[weight].scores[others.place][:, inside], others.temperature)
    order = np.argsort(fits.held)
    path = paths[blend.whole]
    every = choose(path.table.sum(axis=2), strengths)
    losses = path.table.sum(axis=2).min(axis=1) / max(int(fits.is_judged(blend.whole).sum()), 1)
    return CrossFit(
        strength=strengths[every.place],
        temperature=every.temperature,
        name_weight=blend.whole,
        start=path.starts[every.place],
        held_out=HeldOut(fits.held[order], chances[order]),
        losses=tuple(losses.tolist()),
    )


def _split(examples: Examples, folds: Ints, effort: Effort) -> list[Split]:
    names = np.unique(folds) if effort.every_fold else np.unique(folds)[:1]
    held = tuple(np.flatnonzero(folds == name) for name in names)
    if effort.every_fold and len(names) * examples.classes * len(folds) <= JOINT_SCORES:
        shares = np.stack([folds != name for name in names]).astype(np.float32)
        return [Split(examples, np.arange(len(folds)), shares, held)]
    trains = [np.flatnonzero(folds != name) for name in names]
    return [Split(examples, t, np.ones((1, len(t)), np.float32), (h,)) for t, h in zip(trains, held, strict=True)]
