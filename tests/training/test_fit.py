from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.drawing import WHOLE, Drawn, draw, fit
from tsugiki.domain import Head
from tsugiki.training.effort import COARSE, FINE, Effort, plan_effort
from tsugiki.training.fit import FittedHead, Seen, fit_changed_head, fit_head

if TYPE_CHECKING:
    from tsugiki.domain import Floats

HOLD_OUT = Effort(every_fold=False, strengths=COARSE, seconds=0.0)


def test_separate_classes_are_told_apart_on_rows_held_out() -> None:
    drawn = draw([20] * 6, noise=0.1)
    found = fit(drawn)
    assert found.held_out.rows.tolist() == list(range(120))
    assert (found.held_out.probabilities.argmax(axis=1) == drawn.targets).mean() > 0.95
    assert ((drawn.features @ found.weight.T + found.bias).argmax(axis=1) == drawn.targets).mean() > 0.95


def test_noise_is_answered_without_confidence() -> None:
    drawn = draw([60, 60], noise=0.1)
    shuffled = replace(drawn, targets=np.random.default_rng(1).permutation(drawn.targets))
    assert fit(shuffled).held_out.probabilities.max(axis=1).mean() < 0.7


def test_the_same_data_gives_the_same_bits() -> None:
    first, second = fit(draw([9, 7, 5])), fit(draw([9, 7, 5]))
    assert first.weight.tobytes() == second.weight.tobytes()
    assert first.held_out.probabilities.tobytes() == second.held_out.probabilities.tobytes()
    assert first.temperature == second.temperature


def test_the_order_of_rows_does_not_matter() -> None:
    drawn = draw([9, 7, 5])
    order = np.random.default_rng(2).permutation(21)
    mixed = replace(drawn, features=drawn.features[order], targets=drawn.targets[order], folds=drawn.folds[order])
    first, second = fit(drawn), fit(mixed)
    assert first.strength == second.strength
    np.testing.assert_allclose(first.held_out.probabilities[order], second.held_out.probabilities, atol=2e-2)


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(2, 12), min_size=2, max_size=6),
    dim=st.integers(1, 30),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
    seed=st.integers(0, 99),
)
def test_any_small_data_gives_finite_answers_for_every_row(
    counts: list[int], dim: int, scale: float, seed: int
) -> None:
    drawn = draw(counts, dim=dim, seed=seed)
    found = fit(replace(drawn, features=drawn.features * np.float32(scale)))
    assert np.isfinite(found.weight).all()
    assert np.isfinite(found.bias).all()
    assert 1 / 16 <= found.temperature <= 16
    assert found.held_out.rows.tolist() == list(range(sum(counts)))
    np.testing.assert_allclose(found.held_out.probabilities.sum(axis=1), 1.0, atol=1e-5)


def test_features_in_other_units_give_the_same_answers() -> None:
    drawn = draw([15, 15, 15])
    large = replace(drawn, features=drawn.features * np.float32(1024) + np.float32(512))
    np.testing.assert_allclose(fit(drawn).held_out.probabilities, fit(large).held_out.probabilities, atol=2e-2)


def test_equal_features_give_the_frequencies_of_the_classes() -> None:
    drawn = draw([30, 10])
    found = fit(replace(drawn, features=np.ones_like(drawn.features)))
    np.testing.assert_allclose(found.held_out.probabilities[:, 0], 0.75, atol=0.05)


def test_a_thousand_classes_of_two_samples() -> None:
    drawn = draw([2] * 1000, dim=48, noise=0.05)
    found = fit(drawn, HOLD_OUT)
    right = found.held_out.probabilities.argmax(axis=1) == drawn.targets[found.held_out.rows]
    assert right.mean() > 0.8


def test_one_in_five_hundred_is_still_found() -> None:
    drawn = draw([3000, 6], noise=0.05)
    found = fit(drawn)
    rare = drawn.targets[found.held_out.rows] == 1
    answered = found.held_out.probabilities.argmax(axis=1)
    assert (answered[rare] == 1).all()
    assert (answered[~rare] == 0).all()


def test_a_class_in_a_single_fold_is_answered_as_another() -> None:
    drawn = draw([20, 20, 4], noise=0.1)
    alone = replace(drawn, folds=np.where(drawn.targets == 2, 0, drawn.folds))
    found = fit(alone)
    unseen = drawn.targets == 2
    answered = found.held_out.probabilities.argmax(axis=1)
    assert not (answered[unseen] == 2).any()
    assert (answered[~unseen] == drawn.targets[~unseen]).mean() > 0.95
    assert ((drawn.features @ found.weight.T + found.bias).argmax(axis=1)[unseen] == 2).all()


def test_costs_decide_between_folds_and_one_hold_out() -> None:
    assert plan_effort(10_003, 384, 77, None).every_fold
    assert plan_effort(15_000, 384, 150, None).every_fold
    largest = plan_effort(100_000, 384, 1_000, None)
    assert not largest.every_fold
    assert largest.strengths == COARSE
    assert plan_effort(770, 384, 77, None).strengths == FINE
    assert not plan_effort(10_003, 384, 77, 2.0).every_fold


def test_a_hold_out_judges_one_fold_only() -> None:
    drawn = draw([25] * 4)
    found = fit(drawn, HOLD_OUT)
    assert found.held_out.rows.tolist() == np.flatnonzero(drawn.folds == 0).tolist()


@pytest.mark.parametrize("stage", ["train", "calibrate"])
def test_progress_reaches_the_end_of_each_stage(stage: str) -> None:
    drawn = draw([6, 6])
    told: list[tuple[str, float]] = []
    effort = Effort(every_fold=True, strengths=COARSE, seconds=0.0)
    fit_head(
        drawn.features,
        drawn.targets,
        drawn.folds,
        drawn.groups,
        2,
        effort,
        lambda s, f: told.append((s, f)),
        lambda: None,
    )
    parts = [part for name, part in told if name == stage]
    assert parts == sorted(parts)
    assert parts[0] == 0.0


def seen_alike(drawn: Drawn, folds: list[int]) -> list[Seen]:
    """As if a network had been trained without each fold, and had come out the same."""
    return [
        Seen(drawn.features, np.flatnonzero(drawn.folds != fold), np.flatnonzero(drawn.folds == fold)) for fold in folds
    ]


def fit_seen(drawn: Drawn, seen: list[Seen]) -> FittedHead:
    return fit_changed_head(
        seen,
        drawn.features,
        None,
        drawn.targets,
        drawn.groups,
        drawn.classes,
        WHOLE,
        lambda stage, part: None,
        lambda: None,
    )


def test_views_that_are_all_alike_give_the_head_of_plain_features() -> None:
    drawn = draw([40, 30, 30], noise=0.3)
    plain, viewed = fit(drawn), fit_seen(drawn, seen_alike(drawn, [0, 1, 2, 3, 4]))
    assert viewed.strength == plain.strength
    assert viewed.temperature == pytest.approx(plain.temperature, rel=0.05)
    assert np.abs(viewed.weight - plain.weight).max() < 0.02 * np.abs(plain.weight).max()
    assert (viewed.held_out.rows == plain.held_out.rows).all()
    assert np.abs(viewed.held_out.probabilities - plain.held_out.probabilities).mean() < 0.01


def test_only_rows_held_out_from_a_view_are_answered() -> None:
    drawn = draw([40, 30, 30], noise=0.3)
    for folds in ([1], [1, 3]):
        held = fit_seen(drawn, seen_alike(drawn, folds)).held_out
        assert held.rows.tolist() == np.flatnonzero(np.isin(drawn.folds, folds)).tolist()
        assert (held.probabilities.argmax(axis=1) == drawn.targets[held.rows]).mean() > 0.6


def test_a_network_that_knows_its_rows_by_heart_does_not_make_the_head_sure() -> None:
    """What it trained on it tells apart without fail, and what it did not see, not at all."""
    drawn = draw([60, 60], noise=3.0)
    centres: Floats = np.eye(2, drawn.features.shape[1], dtype=np.float32)[drawn.targets]
    by_heart: Floats = (centres + 0.01 * drawn.features).astype(np.float32)
    views = [
        replace(one, features=np.where((drawn.folds == fold)[:, None], drawn.features, by_heart))
        for fold, one in enumerate(seen_alike(drawn, [0, 1, 2, 3, 4]))
    ]
    known = replace(drawn, features=by_heart)
    sure, honest = fit(known), fit_seen(known, views)
    assert sure.held_out.probabilities.max(axis=1).mean() > 0.95
    assert honest.held_out.probabilities.max(axis=1).mean() < 0.75
    assert min(honest.losses) > 0.6


def test_a_head_trained_with_its_network_is_kept_where_its_like_answer_better() -> None:
    drawn = draw([60, 60], noise=0.3)
    plain = fit(drawn)
    trained = Head(plain.weight, plain.bias, plain.temperature, ("x", "y"))
    collapsed: Floats = np.eye(2, drawn.features.shape[1], dtype=np.float32)[drawn.targets]
    views = [
        replace(one, features=np.where((drawn.folds == fold)[:, None], drawn.features, collapsed), head=trained)
        for fold, one in enumerate(seen_alike(drawn, [0, 1, 2, 3, 4]))
    ]
    found = fit_changed_head(
        views, drawn.features, trained, drawn.targets, drawn.groups, 2, WHOLE, lambda stage, part: None, lambda: None
    )
    assert found.strength is None
    assert np.allclose(found.weight * plain.temperature, plain.weight, atol=1e-5)
    assert (found.held_out.probabilities.argmax(axis=1) == drawn.targets).mean() > 0.85
    refitted = fit_changed_head(
        [replace(one, head=None) for one in views],
        drawn.features,
        None,
        drawn.targets,
        drawn.groups,
        2,
        WHOLE,
        lambda stage, part: None,
        lambda: None,
    )
    assert refitted.strength is not None
    assert (refitted.held_out.probabilities.argmax(axis=1) == drawn.targets).mean() < 0.85
