from __future__ import annotations

import numpy as np
import pytest

from tsugiki.evaluation.calibration import expected_calibration_error, reliability, resampled_errors


def test_scores_that_are_right_as_often_as_they_say_have_no_error() -> None:
    scores = np.full(10, 0.8, np.float32)
    correct = np.arange(10) < 8
    assert expected_calibration_error(scores, correct) == pytest.approx(0.0, abs=1e-6)


def test_certainty_that_is_right_half_the_time_is_half_wrong() -> None:
    assert expected_calibration_error(np.ones(10, np.float32), np.arange(10) < 5) == pytest.approx(0.5)


def test_errors_of_bins_are_weighted_by_their_rows() -> None:
    scores = np.array([0.9] * 30 + [0.5] * 10, np.float32)
    correct = np.array([True] * 30 + [False] * 10)
    assert expected_calibration_error(scores, correct) == pytest.approx(0.75 * 0.1 + 0.25 * 0.5, abs=1e-6)


def test_the_error_is_that_of_the_bins() -> None:
    random = np.random.default_rng(0)
    scores = random.random(500).astype(np.float32)
    correct = random.random(500) < scores**2
    expected = sum(b.rows * abs(b.score - b.accuracy) for b in reliability(scores, correct)) / 500
    assert expected_calibration_error(scores, correct) == pytest.approx(expected)


def test_a_sample_that_draws_each_row_once_has_the_error_of_the_rows() -> None:
    random = np.random.default_rng(0)
    scores = random.random(60).astype(np.float32)
    correct = random.random(60) < 0.5
    (error,) = resampled_errors(scores, correct, np.ones((1, 60), np.float32))
    assert error == pytest.approx(expected_calibration_error(scores, correct), abs=1e-6)


def test_scores_at_the_ends_have_bins() -> None:
    bins = reliability(np.array([0.0, 1.0], np.float32), np.array([False, True]))
    assert (bins[0].rows, bins[-1].rows) == (1, 1)
