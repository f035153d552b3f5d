"""What labels are called, as a prior: it stands in for samples that are not there, and goes where it does harm."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.drawing import WHOLE, draw, draw_names, fit
from tsugiki.training.blending import Setting, blend
from tsugiki.training.effort import FINE, Effort, plan_effort
from tsugiki.training.examples import NAME_WEIGHT, NAME_WEIGHTS, Examples
from tsugiki.training.fit import FittedHead

NOISE = 0.35
ONE_FOLD = Effort(every_fold=False, strengths=FINE, seconds=0.0)


def _accuracy(found: FittedHead, classes: int) -> float:
    """On rows of the same classes that no fit saw: `draw` mixes its rows, so more of them are other rows."""
    fresh = draw([60] * classes, noise=NOISE)
    guesses = (fresh.features @ found.weight.T + found.bias).argmax(axis=1)
    return float((guesses == fresh.targets).mean())


@pytest.mark.parametrize("per_class", [1, 2, 3])
def test_with_few_samples_names_that_say_something_help(per_class: int) -> None:
    drawn = draw([per_class] * 12, noise=NOISE)
    without, named = fit(drawn), fit(drawn, names=draw_names(12))
    assert named.name_weight > 0.0
    assert _accuracy(named, 12) > _accuracy(without, 12) + 0.05


@pytest.mark.parametrize("effort", [WHOLE, ONE_FOLD])
@pytest.mark.parametrize("per_class", [3, 10])
def test_names_of_something_else_are_not_heard(per_class: int, effort: Effort) -> None:
    drawn = draw([per_class] * 12, noise=NOISE)
    misleading = np.roll(draw_names(12), 1, axis=0)
    named = fit(drawn, effort, misleading)
    assert named.name_weight == 0.0
    assert _accuracy(named, 12) > _accuracy(fit(drawn, effort), 12) - 0.02


def test_a_class_without_samples_is_known_by_its_name() -> None:
    drawn = draw([8, 8, 8, 0], noise=0.15)
    found = fit(drawn, names=draw_names(4))
    fresh = draw([0, 0, 0, 60], noise=0.15)
    guesses = (fresh.features @ found.weight.T + found.bias).argmax(axis=1)
    assert (guesses == 3).mean() > 0.8
    assert found.held_out.probabilities.shape == (24, 4)


@pytest.mark.parametrize(
    ("named", "whole", "blocks"),
    [
        ([1.0, 1.0, 1.0], 1.0, (1.0, 1.0, 1.0)),
        ([3.0, 3.0, 3.0], 0.0, (0.0, 0.0, 0.0)),
        # Good for the first block only, and so for every block but the first.
        ([-2.0, 2.5, 2.5], 1.0, (0.0, 1.0, 1.0)),
    ],
)
def test_a_block_hears_names_if_they_serve_the_others(
    named: list[float], whole: float, blocks: tuple[float, ...]
) -> None:
    """Losses of three blocks at one temperature; without names each loses 2."""
    examples = Examples(np.zeros((4, 2), np.float32), np.array([0, 0, 1, 1]), 2, np.zeros((2, 2), np.float32))
    tables = {weight: np.full((1, 3), 2.0 + weight) for weight in NAME_WEIGHTS} | {NAME_WEIGHT: np.array([named])}
    found = blend(examples, (False,), 3, lambda one: tables[one.name_weight])
    assert found.whole == Setting(False, whole)
    assert found.blocks == tuple(Setting(False, weight) for weight in blocks)
    assert {one.name_weight for one in found.settings} == {whole, *blocks}


def test_names_are_not_asked_about_where_a_class_has_nothing_else() -> None:
    examples = Examples(np.zeros((2, 2), np.float32), np.array([0, 0]), 2, np.zeros((2, 2), np.float32))
    found = blend(examples, (False,), 2, lambda one: pytest.fail("nothing to choose"))
    assert found.settings == (Setting(False, NAME_WEIGHT),)
    unnamed = Examples(np.zeros((2, 2), np.float32), np.array([0, 0]), 2)
    found = blend(unnamed, (False,), 2, lambda one: pytest.fail("nothing to choose"))
    assert found.settings == (Setting(False, 0.0),)


def test_hearing_names_is_part_of_the_estimated_cost() -> None:
    assert plan_effort(700, 384, 77, None, named=True).seconds > plan_effort(700, 384, 77, None).seconds
