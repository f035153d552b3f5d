# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# scikit-learn leaves some arguments untyped.
"""The solver against scikit-learn's optimum of the same convex problem."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.training.drawing import Drawn, draw
from tsugiki.training.effort import FINE, LAST_TOLERANCE
from tsugiki.training.lbfgs import follow, minimise
from tsugiki.training.rotation import principal_axes
from tsugiki.training.softmax import ABSENT_BIAS, Problem, evaluate, pose, starting_weights


def posed(drawn: Drawn, shares: list[list[int]] | None = None) -> Problem:
    seen = np.ones((1, len(drawn.targets)), np.float32) if shares is None else np.asarray(shares, np.float32)
    rows = principal_axes(drawn.features).apply(drawn.features)
    return pose(rows, drawn.targets, drawn.classes, seen, lambda: None)


@pytest.mark.parametrize("counts", [[8, 8], [2, 3, 40], [12] * 20, [500, 5]])
@pytest.mark.parametrize("strength", [1.0, 1 / 16, 1 / 256])
def test_loss_is_within_one_part_in_ten_thousand_of_scikit_learns(counts: list[int], strength: float) -> None:
    problem = posed(draw(counts, dim=30))
    reference = LogisticRegression(C=1 / strength, tol=1e-10, max_iter=10_000)
    reference.fit(problem.rows[:, :-1].astype(np.float64), problem.targets)
    weights = np.concatenate([reference.coef_, np.reshape(reference.intercept_, (-1, 1))], axis=1)
    if len(counts) == 2:  # scikit-learn gives one row of weights for two classes: the difference of two
        weights = np.concatenate([-weights, weights]) / 2
        # and penalises that row whole, which is half of what two halves of it cost
        strength *= 2
    best = evaluate(problem, weights[None].astype(np.float32), strength).loss
    found = minimise(problem, starting_weights(problem), strength, LAST_TOLERANCE)
    assert found.loss <= best * (1 + 1e-4)


def test_gradient_is_that_of_the_loss() -> None:
    problem = posed(draw([5, 9, 4], dim=6), shares=[[1] * 18, [1, 0] * 9])
    random = np.random.default_rng(1)
    weights = random.standard_normal(problem.shape).astype(np.float32)
    way = random.standard_normal(problem.shape).astype(np.float32)
    point = evaluate(problem, weights, 0.3)
    small = np.multiply(way, 1e-2, dtype=np.float32)
    there, back = (evaluate(problem, w, 0.3).loss for w in (weights + small, weights - small))
    assert np.vdot(point.gradient, way) == pytest.approx((there - back) / 2e-2, rel=1e-3)


def test_models_fitted_together_equal_models_fitted_alone() -> None:
    drawn = draw([9, 9, 9])
    shares = [[int(fold != held) for fold in drawn.folds] for held in range(3)]
    together = minimise(posed(drawn, shares), starting_weights(posed(drawn, shares)), 0.1, 1e-6)
    for i, share in enumerate(shares):
        problem = posed(drawn, [share])
        alone = minimise(problem, starting_weights(problem), 0.1, 1e-6)
        np.testing.assert_allclose(together.weights[i], alone.weights[0], atol=5e-3)


def test_a_class_without_rows_stays_out_of_the_fit() -> None:
    drawn = draw([6, 6, 2])
    problem = posed(drawn, [[int(t != 2) for t in drawn.targets.tolist()]])
    *_, last = follow(problem, FINE, LAST_TOLERANCE)
    assert not last.weights[0, 2, :-1].any()
    assert last.weights[0, 2, -1] == ABSENT_BIAS
    assert np.isfinite(last.weights).all()


def test_the_work_stops_when_the_check_raises() -> None:
    class Stopped(Exception):
        pass

    def check() -> None:
        raise Stopped

    drawn = draw([4, 4])
    problem = pose(drawn.features, drawn.targets, 2, np.ones((1, 8), np.float32), check)
    with pytest.raises(Stopped):
        minimise(problem, starting_weights(problem), 1.0, 1e-3)
