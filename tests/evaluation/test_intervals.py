from __future__ import annotations

from math import comb

import numpy as np
import pytest

from tsugiki.evaluation.intervals import DRAWS, newcombe_paired, percentile, resamples, sign_test, wilson, wilson_f1


def test_wilsons_interval_as_published() -> None:
    # Newcombe 1998a, table I: 81 of 263, and 0 of 20
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_f1_of_one_label_is_a_share_bent() -> None:
    low, high = wilson(30, 50)  # F1 = 2 * 30 / (2 * 30 + 20)
    assert wilson_f1(30, 50) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))
    assert wilson_f1(30, 50)[0] < 0.75 < wilson_f1(30, 50)[1]
    assert wilson_f1(0, 0) == (0.0, 1.0)


def test_newcombes_interval_as_published() -> None:
    # Newcombe 1998b, table II, method 10: 36, 12, 2, 0 of 50
    assert newcombe_paired(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=1e-4)


def test_equal_answers_differ_by_nothing() -> None:
    low, high = newcombe_paired(80, 0, 0, 20)
    assert low <= 0.0 <= high


def test_each_resample_draws_as_many_rows_as_there_are() -> None:
    batches = list(resamples(7000, seed=3))
    assert sum(len(counts) for counts in batches) == DRAWS
    assert all((counts.sum(axis=1) == 7000).all() for counts in batches)
    np.testing.assert_array_equal(np.concatenate(batches), np.concatenate(list(resamples(7000, seed=3))))


def test_the_bootstraps_own_bias_is_shifted_away() -> None:
    low, high = percentile(0.1, np.linspace(0.2, 0.4, 101))
    assert (low, high) == pytest.approx((0.005, 0.195))


def test_a_shifted_interval_stays_where_a_measure_can_be() -> None:
    assert percentile(0.99, np.linspace(0.9, 1.0, 101), 1.0).high == 1.0
    assert percentile(0.01, np.linspace(0.0, 0.1, 101), 1.0).low == 0.0
    assert percentile(0.99, np.linspace(0.9, 1.0, 101)).high > 1.0, "a loss has no upper end"


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (8, 1), (3, 3), (1, 8), (40, 20), (600, 500)])
def test_the_sign_test_is_the_binomials_tail(lost: int, gained: int) -> None:
    ways = [comb(lost + gained, k) for k in range(lost, lost + gained + 1)]
    assert sign_test(lost, gained) == pytest.approx(sum(ways) / 2 ** (lost + gained), rel=1e-9)
