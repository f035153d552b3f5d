from __future__ import annotations

import numpy as np
import pytest

from tests.training.drawing import draw
from tsugiki.evaluation import learning_curve
from tsugiki.evaluation.learning_curve import last_doubling


@pytest.mark.parametrize("dim", [24, 60])
def test_it_is_the_difference_of_the_fits_it_stands_for(dim: int) -> None:
    """Beside a ridge that is fitted the long way, fold by fold and half by half."""
    drawn = draw([9, 7, 12], dim=dim, noise=0.3)
    centred = (drawn.features - drawn.features.mean(axis=0)).astype(np.float64)
    scale = np.sqrt(np.square(centred).sum(axis=1).mean())
    rows = np.concatenate([centred / scale, np.ones((len(centred), 1))], axis=1)
    ranks = np.empty(28, np.int64)
    for target in range(3):
        members = np.flatnonzero(drawn.targets == target)
        ranks[members[np.argsort(drawn.folds[members], kind="stable")]] = np.arange(len(members))
    hits = {True: 0, False: 0}
    for fold in np.unique(drawn.folds):
        for whole in (True, False):
            train = (drawn.folds != fold) & (whole | (ranks % 2 == 0))
            gram = rows[train].T @ rows[train] + learning_curve.RIDGE * np.eye(dim + 1)
            weights = np.linalg.solve(gram, rows[train].T @ np.eye(3)[drawn.targets[train]]).astype(np.float64)
            held = drawn.folds == fold
            hits[whole] += int(((rows[held] @ weights).argmax(axis=1) == drawn.targets[held]).sum())
    found = last_doubling(drawn.features, drawn.targets, drawn.folds, 3)
    assert found.gain == pytest.approx((hits[True] - hits[False]) / 28)
    assert found.ci95.low <= found.gain <= found.ci95.high


def test_more_samples_help_where_there_were_few_and_not_where_all_is_known() -> None:
    few, hard = draw([6] * 10, noise=0.35), 10
    easy = draw([60] * 3, noise=0.05)
    assert last_doubling(few.features, few.targets, few.folds, hard).ci95.low > 0.0
    assert last_doubling(easy.features, easy.targets, easy.folds, 3).gain == 0.0


def test_features_that_say_nothing_and_labels_without_samples_are_borne() -> None:
    drawn = draw([6, 6], noise=0.1)
    flat = np.ones_like(drawn.features)
    assert abs(last_doubling(flat, drawn.targets, drawn.folds, 2).gain) <= 1.0
    assert last_doubling(drawn.features, drawn.targets, drawn.folds, 4).gain == 0.0


def test_of_very_many_samples_a_part_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_curve, "MAX_ROWS", 40)
    drawn = draw([60] * 3, noise=0.1)
    assert last_doubling(drawn.features, drawn.targets, drawn.folds, 3).ci95.high < 0.3
