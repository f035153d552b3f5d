"""Cross-fitting: every row is scored by a fit which did not see it, and judged by choices made without it.

The strength and temperature applied to the rows of one block (a fold) are those that served the *other* blocks best;
the head itself takes what served all blocks best. No fit is made twice for this: it is sums over one table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.folds import split_in_half
from tsugiki.domain import HeldOut
from tsugiki.training.blending import Setting, blend
from tsugiki.training.examples import Examples
from tsugiki.training.fold_fits import FoldFits, Path, Split
from tsugiki.training.strength import choose, choose_without
from tsugiki.training.temperature import probabilities

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints
    from tsugiki.training.effort import Effort

JOINT_SCORES = 1 << 19  # up to this many scores over all folds, one joint fit is quicker than a fit a fold


@dataclass(frozen=True, slots=True)
class CrossFit:
    """`start` (1, classes, axes + 1): the mean of the folds' weights at `strength`, near the optimum on all rows.

    None where the folds' rows are views of different networks. `losses` are the mean held-out log losses at the
    strengths visited, each at its best temperature. `strength` is None where what was given besides served best.
    """

    strength: float | None
    temperature: float
    setting: Setting
    start: Floats | None
    held_out: HeldOut
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class View:
    """All rows as one network sees them: `rows` (rows, axes + 1). It never saw the targets of `held`.

    `scores` (classes, held) are of the head that was trained with the network, where there is one; `names` (classes,
    axes + 1) what the classes are called, where that is to be heard.
    """

    rows: Floats
    train: Ints
    held: Ints
    scores: Floats | None = None
    names: Floats | None = None


def cross_fit(
    ways: Mapping[bool, Examples],
    folds: Ints,
    groups: Ints,
    effort: Effort,
    advance: Callable[[float], None],
    check: Callable[[], None],
) -> CrossFit:
    """`ways`: the same rows, with parts of their features evened, or not, or both. `folds` (rows,), two or more.

    Where one fold is held out, its halves judge each other, with each of the `groups` (rows,) in one of them. `advance`
    is told the part of the work done; `check` raises to stop it.
    """
    fits: dict[bool, FoldFits] = {}
    for evened, examples in ways.items():
        splits = _split(examples, folds, effort)
        held = np.concatenate([part for split in splits for part in split.held])
        blocks = folds[held] if effort.every_fold else split_in_half(groups[held])
        fits[evened] = FoldFits(splits, blocks, check)
    return _compare(fits, next(iter(ways.values())), effort, advance)


def cross_fit_views(
    views: Sequence[View],
    targets: Ints,
    groups: Ints,
    classes: int,
    effort: Effort,
    advance: Callable[[float], None],
    check: Callable[[], None],
    truths: Floats | None = None,
) -> CrossFit:
    """As `cross_fit`, for trained networks: none saw the rows held out in its fold, so each fold has its own features.

    The halves of a single view's rows held out judge each other. `start` is None: weights on the axes of different
    networks have no mean.
    """
    every = [np.ones((1, len(view.train)), np.float32) for view in views]
    splits = [
        Split(Examples(view.rows, targets, classes, view.names, truths), view.train, shares, (view.held,))
        for view, shares in zip(views, every, strict=True)
    ]
    if len(views) == 1:
        blocks = split_in_half(groups[views[0].held])
    else:
        blocks = np.repeat(np.arange(len(views)), [len(view.held) for view in views])
    given = [view.scores for view in views if view.scores is not None]
    besides = np.concatenate(given, axis=1) if len(given) == len(views) else None
    fits = {False: FoldFits(splits, blocks, check)}
    found = _compare(fits, splits[0].examples, effort, advance, besides)
    return replace(found, start=None)


def _compare(
    ways: Mapping[bool, FoldFits],
    examples: Examples,
    effort: Effort,
    advance: Callable[[float], None],
    besides: Floats | None = None,
) -> CrossFit:
    """`examples` are those of either way; `besides` are scores (classes, held) that compete with those fitted."""
    fits = next(iter(ways.values()))  # all hold out the same rows
    blocks = np.unique(fits.blocks)
    found = blend(
        examples,
        tuple(ways),
        len(blocks),
        lambda one: ways[one.evened].losses_at(one.name_weight),
        effort.evened_for,
    )
    paths: dict[Setting, Path] = {}
    for done, one in enumerate(found.settings):
        way = ways[one.evened]
        path = way.follow(
            effort.strengths, one.name_weight, lambda part, done=done: advance((done + part) / len(found.settings))
        )
        paths[one] = path if besides is None else way.beside(path, besides, one.name_weight)
    chances = np.empty((len(fits.held), examples.classes), np.float32)
    for i, (block, one) in enumerate(zip(blocks, found.blocks, strict=True)):
        inside = fits.blocks == block
        others = choose_without(paths[one].table, i, paths[one].strengths)
        scores = paths[one].scores[others.place][:, inside]
        chances[inside] = probabilities(scores, others.temperature, each=fits.truths is not None)
    order = np.argsort(fits.held)
    path = paths[found.whole]
    every = choose(path.table.sum(axis=2), path.strengths)
    fitted = path.table if besides is None else path.table[:-1]
    judged = fits.is_judged(found.whole.name_weight)
    losses = fitted.sum(axis=2).min(axis=1) / max(int(judged.sum()), 1)
    return CrossFit(
        strength=path.strengths[every.place] if every.place < len(fitted) else None,
        temperature=every.temperature,
        setting=found.whole,
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
