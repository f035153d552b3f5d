from __future__ import annotations

import numpy as np
import pytest

from tsugiki.evaluation.abstention import (
    ALWAYS,
    CURVE_POINTS,
    TARGET_PRECISIONS,
    abstain_below,
    risk_coverage,
    threshold_for,
    told_curve,
    told_thresholds,
)
from tsugiki.evaluation.intervals import wilson


def test_a_threshold_holds_its_precision_and_the_next_lower_does_not() -> None:
    random = np.random.default_rng(0)
    scores = random.random(2000).astype(np.float32)
    correct = random.random(2000) < scores
    kept = threshold_for(0.8, scores, correct)
    assert kept is not None
    inside = scores >= np.float32(kept.threshold)
    assert kept.accuracy == correct[inside].mean()
    assert kept.coverage == inside.mean()
    assert kept.ci95.low >= 0.8
    for lower in np.sort(scores[~inside])[-200:]:
        wider = scores >= lower
        assert wilson(int(correct[wider].sum()), int(wider.sum())).low < 0.8


@pytest.mark.parametrize("precision", TARGET_PRECISIONS)
def test_what_is_served_of_a_told_precision_is_what_the_evaluation_tells(precision: float) -> None:
    """The curve's points are too few for it: with 20,000 rows, 400 of them sure and right, none of them shows 0.99."""
    random = np.random.default_rng(0)
    scores = random.random(20_000).astype(np.float32)
    correct = (random.random(20_000) < 0.7) | (scores >= np.sort(scores)[-400])
    report = {"risk_coverage": told_curve(scores, correct), "thresholds": told_thresholds(scores, correct)}
    kept = threshold_for(precision, scores, correct)
    assert kept is not None
    assert abstain_below(precision, report) == kept.threshold
    assert abstain_below(0.99, report | {"thresholds": []}) == ALWAYS, "the control: by the curve alone"
    assert abstain_below(0.9999, report) == ALWAYS


def test_few_rows_cannot_promise_a_high_precision() -> None:
    scores = np.linspace(0.5, 1.0, 73, dtype=np.float32)
    right = np.ones(73, np.bool_)
    assert threshold_for(0.95, scores, right) is not None
    assert threshold_for(0.95, scores[:72], right[:72]) is None


def test_equal_scores_are_kept_or_dropped_together() -> None:
    scores = np.array([0.9, 0.9, 0.9, 0.4], np.float32)
    points = risk_coverage(scores, np.array([True, False, True, True]))
    assert [point.coverage for point in points] == [0.75, 1.0]
    assert points[0].accuracy == pytest.approx(2 / 3)


def test_the_curve_ends_with_all_rows_kept() -> None:
    random = np.random.default_rng(0)
    points = risk_coverage(random.random(500).astype(np.float32), random.random(500) < 0.5)
    assert len(points) <= CURVE_POINTS
    assert points[-1].coverage == 1.0
    thresholds = [point.threshold for point in points]
    assert thresholds == sorted(thresholds, reverse=True)
