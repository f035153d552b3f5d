from __future__ import annotations

import numpy as np
import pytest

from tsugiki.domain import HeadScope, HeldOut
from tsugiki.evaluation.scope import MOST_LOST, certainty_of, class_means, find_scope, find_set_scope, nearness_to

DIM, CLASSES = 16, 5


def drawn(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, HeldOut]:
    """Clouds around the axes: features, targets, folds, and answers that are mostly right."""
    random = np.random.default_rng(seed)
    targets = np.arange(rows) % CLASSES
    features = (np.eye(CLASSES, DIM)[targets] + random.normal(0, 0.1, (rows, DIM))).astype(np.float32)
    scores = 8.0 * features[:, :CLASSES] + random.normal(0, 0.5, (rows, CLASSES))
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances = (chances / chances.sum(axis=1, keepdims=True)).astype(np.float32)
    return features, targets, np.arange(rows) // CLASSES % 5, HeldOut(np.arange(rows), chances)


def familiarity(scope: HeadScope, features: np.ndarray, chances: np.ndarray) -> np.ndarray:
    return nearness_to(scope.means, features) + scope.certainty * certainty_of(chances)


def test_next_to_no_right_answer_is_out_of_scope_and_what_lies_elsewhere_is() -> None:
    scope = find_scope(*drawn(4_000))
    assert scope is not None
    features, targets, _, held = drawn(4_000, seed=1)
    right = held.probabilities.argmax(axis=1) == targets
    assert (familiarity(scope, features, held.probabilities)[right] < scope.least).mean() < 2 * MOST_LOST
    elsewhere = -features
    flat = np.full((4_000, CLASSES), 1 / CLASSES, np.float32)
    assert (familiarity(scope, elsewhere, flat) < scope.least).all()


def test_sets_have_a_scope_by_those_that_are_wholly_right() -> None:
    features, targets, folds, held = drawn(4_000)
    truth = np.zeros((4_000, CLASSES - 1), np.bool_)  # the last class is of rows without a label
    truth[np.arange(4_000), targets % (CLASSES - 1)] = True
    truth[targets == CLASSES - 1] = False
    joined = np.flatnonzero(targets == 0)[::2]
    truth[joined, 1] = True
    chances = np.where(truth, 0.9, 0.1).astype(np.float32)
    wrong = truth.copy()
    wrong[::10, 0] ^= True
    scope = find_set_scope(features, truth, folds, HeldOut(held.rows, chances, wrong))
    assert scope is not None
    assert scope.means.shape == (CLASSES, DIM)
    np.testing.assert_allclose(scope.means[-1], features[targets == CLASSES - 1].mean(axis=0), atol=1e-5)
    known = nearness_to(scope.means, features) + scope.certainty * chances.max(axis=1)
    assert (known < scope.least).mean() < 2 * MOST_LOST
    assert (nearness_to(scope.means, -features) + scope.certainty * 0.9 < scope.least).all()
    few = np.flatnonzero(~(wrong != truth).any(axis=1))[:764]
    assert find_set_scope(features, truth, folds, HeldOut(few, chances[few], truth[few])) is None
    all_labelled = np.ones_like(truth)
    alone = find_set_scope(features, all_labelled, folds, HeldOut(held.rows, chances, all_labelled))
    assert alone is not None
    assert len(alone.means) == CLASSES - 1, "there is no mean of samples without a label where there are none"


def test_few_right_answers_set_no_scope() -> None:
    features, targets, folds, held = drawn(800)
    right = held.probabilities.argmax(axis=1) == targets
    assert right.sum() > 765
    assert find_scope(features, targets, folds, held) is not None
    few = HeldOut(held.rows[right][:764], held.probabilities[right][:764])
    assert find_scope(features, targets, folds, few) is None
    enough = HeldOut(held.rows[right][:765], held.probabilities[right][:765])
    assert find_scope(features, targets, folds, enough) is not None


def test_only_rows_that_were_held_out_set_the_threshold() -> None:
    features, targets, folds, held = drawn(4_000)
    first = folds == 0
    alone = HeldOut(held.rows[first], held.probabilities[first])
    moved = features.copy()
    moved[~first] += np.float32(0.01)
    assert (folds == 0).sum() == 800
    assert find_scope(features, targets, folds, alone) is not None
    near = nearness_to(class_means(moved[~first], targets[~first], CLASSES), features[first])
    scope = find_scope(moved, targets, folds, alone)
    assert scope is not None
    assert scope.least == pytest.approx(
        float((near + scope.certainty * certainty_of(alone.probabilities)).min()), abs=0.01
    )


def test_a_class_without_rows_has_no_mean_in_the_scope() -> None:
    features, targets, folds, held = drawn(4_000)
    chances = np.column_stack([held.probabilities, np.zeros(4_000, np.float32)])
    scope = find_scope(features, targets, folds, HeldOut(held.rows, chances))
    assert scope is not None
    assert scope.means.shape == (CLASSES, DIM)
    assert np.isfinite(scope.means).all()


def test_a_class_that_a_fold_lacks_is_near_to_nothing() -> None:
    means = class_means(np.ones((2, DIM), np.float32), np.array([0, 0]), 2)
    assert np.isnan(means[1]).all()
    assert nearness_to(means, np.zeros((1, DIM), np.float32)) == pytest.approx(-DIM)


def test_certainty_is_the_largest_of_the_softened_probabilities() -> None:
    chances = np.array([[0.5, 0.5], [1.0, 0.0], [8 / 9, 1 / 9]], np.float32)
    assert certainty_of(chances) == pytest.approx([0.5, 1.0, 2 / 3])
