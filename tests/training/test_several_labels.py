# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# scikit-learn leaves some arguments untyped.
"""Logistic regressions of several labels at once, beside scikit-learn's one at a time; and the thresholds."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tsugiki.domain import HeldOut
from tsugiki.training.effort import plan_effort
from tsugiki.training.fit import fit_head
from tsugiki.training.lbfgs import minimise
from tsugiki.training.losses import loss_of
from tsugiki.training.sigmoid import sigmoid
from tsugiki.training.softmax import Problem, pose
from tsugiki.training.temperature import TEMPERATURES, tempered_losses
from tsugiki.training.thresholds import EVEN, PRIOR_POSITIVES, answer_held_out, choose_thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats, Ints
    from tsugiki.training.fit import Stage

ROWS, DIM, LABELS = 300, 12, 4


class Sets:
    """Rows with any set of four labels, told apart by noisy planes; `targets` index `truths`."""

    def __init__(self, seed: int = 0, noise: float = 1.0) -> None:
        random = np.random.default_rng(seed)
        planes = random.standard_normal((LABELS, DIM))
        self.features: Floats = random.standard_normal((ROWS, DIM)).astype(np.float32)
        scores = self.features @ planes.T + noise * random.standard_normal((ROWS, LABELS)) - np.arange(LABELS)
        self.truth: NDArray[np.bool_] = scores > 0
        kinds, targets = np.unique(self.truth, axis=0, return_inverse=True)
        self.truths: Floats = kinds.astype(np.float32)
        self.targets: Ints = targets.ravel().astype(np.int64)
        self.folds: Ints = np.arange(ROWS) % 5
        self.groups: Ints = np.arange(ROWS)

    def problem(self, shares: Floats) -> Problem:
        rows = np.column_stack([self.features, np.ones(ROWS, np.float32)])
        return pose(rows, self.targets, LABELS, shares, lambda: None, self.truths)


def _unheard(stage: Stage, part: float) -> None: ...


@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_each_label_is_fitted_as_by_scikit_learn_alone(strength: float) -> None:
    sets = Sets()
    problem = sets.problem(np.ones((1, ROWS), np.float32))
    found = minimise(problem, loss_of(problem).start(problem), strength, 1e-9).weights[0]
    for label in range(LABELS):
        theirs = LogisticRegression(C=1 / strength, tol=1e-8, max_iter=1_000)
        theirs.fit(sets.features, sets.truth[:, label])
        both = np.append(np.asarray(theirs.coef_), np.asarray(theirs.intercept_))
        np.testing.assert_allclose(found[label], both, atol=5e-3)


def test_the_gradient_is_the_slope_of_the_loss_also_where_rows_are_left_out() -> None:
    sets = Sets(1)
    problem = sets.problem(np.stack([sets.folds != fold for fold in (0, 1)]).astype(np.float32))
    loss = loss_of(problem)
    random = np.random.default_rng(2)
    weights: Floats = 0.3 * random.standard_normal(problem.shape, np.float32)
    step: Floats = 0.01 * random.standard_normal(problem.shape, np.float32)
    ahead, behind = (loss.evaluate(problem, there, 0.5).loss for there in (weights + step, weights - step))
    slope = float(np.vdot(loss.evaluate(problem, weights, 0.5).gradient, step))
    assert (ahead - behind) / 2 == pytest.approx(slope, rel=1e-3)
    assert (loss.curvature(problem, weights, 0.5) > 0).all()


def test_scores_of_any_size_have_a_loss() -> None:
    scores = np.array([[-1e4, 1e4, 0.0]], np.float32)
    losses = tempered_losses(scores, np.array([0, 1, 0]), 0.0, np.array([[0.0], [1.0]], np.float32))
    assert losses.shape == (len(TEMPERATURES), 3)
    np.testing.assert_allclose(losses[:, :2], 0.0, atol=1e-6)
    np.testing.assert_allclose(losses[:, 2], np.log(2.0), rtol=1e-6)


def test_many_rows_are_tempered_by_parts_and_as_they_would_be_together() -> None:
    random = np.random.default_rng(0)
    scores = random.standard_normal((64, 60_000)).astype(np.float32)
    truths = (random.uniform(size=(50, 64)) < 0.2).astype(np.float32)
    targets = random.integers(50, size=60_000)
    tracemalloc.start()
    try:
        found = tempered_losses(scores, targets, 0.01, truths)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < found.nbytes + scores.nbytes, "of the scores no copy is made"
    few = slice(29_990, 30_010)
    np.testing.assert_allclose(found[:, few], tempered_losses(scores[:, few], targets[few], 0.01, truths), rtol=1e-5)


def test_held_out_probabilities_are_good_and_calibrated() -> None:
    sets = Sets(3)
    effort = plan_effort(ROWS, DIM, LABELS, None)
    found = fit_head(
        sets.features, sets.targets, sets.folds, sets.groups, LABELS, effort, _unheard, lambda: None, truths=sets.truths
    )
    held = found.held_out
    assert held.rows.tolist() == list(range(ROWS))
    assert ((held.probabilities > 0.5) == sets.truth).mean() > 0.85
    np.testing.assert_allclose(held.probabilities.mean(axis=0), sets.truth.mean(axis=0), atol=0.05)


def test_a_threshold_has_the_best_f1_there_is_up_to_its_prior() -> None:
    sets = Sets(4)
    chances = sigmoid(np.random.default_rng(0).normal(3.0 * sets.truth - 2.0, 1.0).astype(np.float32))
    thresholds = choose_thresholds(chances, sets.truth)
    for label in range(LABELS):
        truth, scores = sets.truth[:, label], chances[:, label]

        def f1(threshold: float, truth: NDArray[np.bool_] = truth, scores: Floats = scores) -> float:
            given = scores >= threshold
            return 2.0 * float((given & truth).sum()) / float(given.sum() + truth.sum())

        positives = int(truth.sum())
        unshrunk = (thresholds[label] * (positives + PRIOR_POSITIVES) - PRIOR_POSITIVES * EVEN) / positives
        assert f1(float(unshrunk)) == pytest.approx(max(map(f1, scores.tolist())), abs=1e-6)


def test_few_positives_keep_the_threshold_half_way_to_one_half() -> None:
    truth = np.zeros((50, 1), np.bool_)
    truth[: int(PRIOR_POSITIVES)] = True
    chances = np.linspace(0.99, 0.01, 50, dtype=np.float32)[:, None]
    assert choose_thresholds(chances, truth)[0] == pytest.approx((0.96 + EVEN) / 2, abs=0.01)


def test_no_row_is_answered_by_a_threshold_that_it_helped_to_choose() -> None:
    sets = Sets(5)
    chances = np.random.default_rng(1).uniform(size=(ROWS, LABELS)).astype(np.float32)
    held = HeldOut(np.arange(ROWS), chances)
    answers = answer_held_out(held, sets.truth, sets.folds, sets.groups).answers
    assert answers is not None
    other = sets.truth.copy()
    other[sets.folds == 2] ^= True
    again = answer_held_out(held, other, sets.folds, sets.groups).answers
    assert again is not None
    assert (answers[sets.folds == 2] == again[sets.folds == 2]).all()
    assert (answers[sets.folds != 2] != again[sets.folds != 2]).any()


def test_where_one_fold_is_judged_no_row_is_answered_by_a_threshold_that_its_twin_helped_to_choose() -> None:
    sets = Sets(5)
    chances = np.random.default_rng(1).uniform(size=(ROWS, LABELS)).astype(np.float32)
    held, one, twins = HeldOut(np.arange(ROWS), chances), np.zeros(ROWS, np.int64), np.arange(ROWS) // 2
    other = sets.truth.copy()
    other[twins % 2 == 0] ^= True  # of every second pair

    def changed(groups: Ints) -> NDArray[np.bool_]:
        before, after = (answer_held_out(held, truth, one, groups).answers for truth in (sets.truth, other))
        assert before is not None
        assert after is not None
        return (before != after).any(axis=1)

    assert not changed(twins)[twins % 2 == 0].any()
    assert changed(sets.groups)[twins % 2 == 0].any(), "by turns, a row's twin is on the other side"
