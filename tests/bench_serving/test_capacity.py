from __future__ import annotations

import math

import numpy as np
import pytest

from tests.bench.capacity import Replica, Shared, missed, reckoned, replicas_for, shares, simulated

REPLICA = Replica(servers=2, pass_s=0.004, row_s=0.001, heads=300, load_s=0.002)


def test_a_row_that_comes_alone_takes_its_own_pass_and_at_most_one_before() -> None:
    rare = Shared(1e-3, 0.004, 0.001)
    assert (rare.longer(0.00499), rare.longer(0.00501)) == (1.0, pytest.approx(0.0, abs=1e-5))
    busy = Shared(400.0, 0.004, 0.001)
    assert busy.longer(0.005) > 0.5
    with pytest.raises(ValueError, match="more rows"):
        Shared(1_000.0, 0.004, 0.001)


def test_alike_tenants_miss_as_many_as_do_not_fit() -> None:
    assert missed(shares(1_000, 0.0), 300) == pytest.approx(0.7, abs=0.01)
    assert missed(shares(1_000, 0.0), 1_000) == 0.0
    assert missed(shares(1_000, 1.1), 300) < 0.25


def test_what_is_reckoned_is_what_happens_in_simulation() -> None:
    of = shares(1_000, 0.9)
    for per_s in (100.0, 600.0, 1_200.0):
        told = reckoned(REPLICA, per_s, of)
        played = simulated(REPLICA, per_s, of, 60_000, np.random.default_rng(0))
        assert played.missed == pytest.approx(told.missed, rel=0.05)
        assert played.p50_s == pytest.approx(told.p50_s, rel=0.05)
        assert played.p99_s == pytest.approx(told.p99_s, rel=0.05)


def test_nothing_is_promised_where_more_come_than_can_be_served() -> None:
    assert reckoned(REPLICA, 2_000.0, shares(1_000, 0.9)).p99_s == math.inf


def test_a_fleet_is_as_large_as_its_limits_want() -> None:
    of = shares(1_000, 0.9)
    each = REPLICA.most_per_s
    assert each == pytest.approx(2 / 0.001)
    assert replicas_for(REPLICA, 1.9 * each, of, p99_s=1.0, busy=0.5) == 4
    count = replicas_for(REPLICA, 8_000, of, p99_s=0.025, busy=1.0)
    assert reckoned(REPLICA, 8_000 / count, of).p99_s <= 0.025 < reckoned(REPLICA, 8_000 / (count - 1), of).p99_s
