"""The head for a set of features, from rotation to calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tsugiki.domain import Head, HeldOut
from tsugiki.training.crossfit import CrossFit, View, cross_fit, cross_fit_views
from tsugiki.training.effort import LAST_TOLERANCE, Effort
from tsugiki.training.examples import Examples
from tsugiki.training.lbfgs import minimise
from tsugiki.training.losses import loss_of
from tsugiki.training.rotation import Rotation, evened, principal_axes

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints

Stage = Literal["train", "calibrate"]


@dataclass(frozen=True, slots=True)
class FittedHead:
    """`weight` (classes, dim) and `bias` (classes,) float32 on plain features; `strength` on normalised ones, None
    where the head is the one that was trained with its network.

    `name_weight` is how many samples the name of a class counted for, `evened` whether parts of features were.
    `losses`: mean held-out log loss at each strength visited, from the strongest.
    """

    weight: Floats
    bias: Floats
    temperature: float
    strength: float | None
    name_weight: float
    evened: bool
    losses: tuple[float, ...]
    steps: int
    held_out: HeldOut


@dataclass(frozen=True, slots=True)
class Seen:
    """All rows as a network saw them that was trained on `train` and never saw the targets of `held`.

    `features` is (rows, dim); `head` the one that was trained with it, if it may serve as it is; `names` (classes, dim)
    what the classes are called as it saw that, if it is to be heard.
    """

    features: Floats
    train: Ints
    held: Ints
    head: Head | None = None
    names: Floats | None = None


def fit_head(
    features: Floats,
    targets: Ints,
    folds: Ints,
    groups: Ints,
    classes: int,
    effort: Effort,
    report: Callable[[Stage, float], None],
    check: Callable[[], None],
    names: Floats | None = None,
    truths: Floats | None = None,
) -> FittedHead:
    """`features` (rows, dim) finite, of two folds or more; every class has rows, or its name's features do.

    `names` (classes, dim) are the features of what the classes are called, if that is to be heard. `check` raises to
    stop the work.
    With `truths` (kinds, classes) the targets index these, and a row may be of several classes or none.
    """
    rotations = {False: principal_axes(_together(features, names))}
    if effort.widths:
        check()
        # By the samples alone: names are so much shorter that their middle blocks lie far off.
        rotations[True] = principal_axes(_together(features, names), evened(features, effort.widths))
    ways: dict[bool, Examples] = {}
    for way, rotation in rotations.items():
        named = None if names is None else rotation.apply(names)
        ways[way] = Examples(rotation.apply(features), targets, classes, named, truths)
    check()
    report("train", 0.0)
    crossed = cross_fit(ways, folds, groups, effort, lambda part: report("train", part), check)
    return _last(rotations[crossed.setting.evened], ways[crossed.setting.evened], crossed, report, check)


def fit_changed_head(
    seen: Sequence[Seen],
    features: Floats,
    trained: Head | None,
    targets: Ints,
    groups: Ints,
    classes: int,
    effort: Effort,
    report: Callable[[Stage, float], None],
    check: Callable[[], None],
    truths: Floats | None = None,
    names: Floats | None = None,
) -> FittedHead:
    """The head for a network that was itself trained: `features` (rows, dim) are the network's that is to be served.

    How strongly to regularise and how sure to be is learnt from networks trained alike on fewer rows, `seen`: what the
    served one answers to the rows it was trained on proves nothing. The head that was trained with the network,
    `trained`, competes with those fitted to what came out, and is kept where its like answered held-out rows better.
    """
    views: list[View] = []
    for one in seen:
        check()
        rotation = principal_axes(_together(one.features, one.names))
        scores = None if one.head is None else _scores(one.head, one.features[one.held])
        named = None if one.names is None else rotation.apply(one.names)
        views.append(View(rotation.apply(one.features), one.train, one.held, scores, named))
    report("calibrate", 0.0)
    crossed = cross_fit_views(
        views, targets, groups, classes, effort, lambda part: report("calibrate", part), check, truths
    )
    if crossed.strength is None and trained is not None:
        report("calibrate", 1.0)
        return FittedHead(
            weight=trained.weight / np.float32(trained.temperature),
            bias=trained.bias / np.float32(trained.temperature),
            temperature=crossed.temperature,
            strength=None,
            name_weight=0.0,
            evened=False,
            losses=crossed.losses,
            steps=0,
            held_out=crossed.held_out,
        )
    rotation = principal_axes(_together(features, names))
    named = None if names is None else rotation.apply(names)
    examples = Examples(rotation.apply(features), targets, classes, named, truths)
    return _last(rotation, examples, crossed, report, check)


def _together(features: Floats, names: Floats | None) -> Floats:
    return features if names is None else np.concatenate([features, names])


def _last(
    rotation: Rotation,
    examples: Examples,
    crossed: CrossFit,
    report: Callable[[Stage, float], None],
    check: Callable[[], None],
) -> FittedHead:
    """On all rows, by what cross-fitting found."""
    assert crossed.strength is not None, "only a trained head has none; this is a bug"
    report("calibrate", 0.0)
    problem = examples.pose_all(crossed.setting.name_weight, check)
    start = loss_of(problem).start(problem) if crossed.start is None else crossed.start
    solution = minimise(problem, start, crossed.strength, LAST_TOLERANCE)
    weights = rotation.undo(solution.weights[0])
    report("calibrate", 1.0)
    return FittedHead(
        weight=np.ascontiguousarray(weights[:, :-1]),
        bias=weights[:, -1].copy(),
        temperature=crossed.temperature,
        strength=crossed.strength,
        name_weight=crossed.setting.name_weight,
        evened=crossed.setting.evened,
        losses=crossed.losses,
        steps=solution.steps,
        held_out=crossed.held_out,
    )


def _scores(head: Head, features: Floats) -> Floats:
    """(classes, rows), before its temperature is known."""
    scores: Floats = (head.weight @ features.T + head.bias[:, None]) / np.float32(head.temperature)
    return scores
