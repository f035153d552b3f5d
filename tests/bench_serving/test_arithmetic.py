import math

import numpy as np
import pytest

from tests.bench.serving.arithmetic import draw, paired, percentile, server_timing


def test_a_percentile_is_a_value_that_was_seen() -> None:
    hundred = [float(n) for n in range(100, 0, -1)]
    assert (percentile(hundred, 50), percentile(hundred, 99), percentile(hundred, 100)) == (50, 99, 100)
    assert percentile([3.0], 99) == 3
    assert math.isnan(percentile([], 99))


def test_a_slow_round_leaves_the_paired_ratio_alone() -> None:
    assert paired([100, 10, 90], to=[200, 20, 180]) == pytest.approx(0.5)


def test_zipf_draws_by_rank_and_uniform_evenly() -> None:
    counts = np.bincount(draw("zipf", 1_000, 100_000, np.random.default_rng(0)), minlength=1_000)
    assert counts[0] / counts[9] == pytest.approx(10**1.1, rel=0.1)
    even = np.bincount(draw("uniform", 10, 100_000, np.random.default_rng(0)), minlength=10)
    assert even.min() > 9_500


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("total;dur=1.5, engine;dur=0.9", {"total": 1.5, "engine": 0.9}),
        ('engine;desc="a pass";dur="2"', {"engine": 2.0}),
        ("cache, total; dur=3", {"total": 3.0}),
        ("", {}),
    ],
)
def test_server_timing_is_read(header: str, found: dict[str, float]) -> None:
    assert server_timing(header) == found
