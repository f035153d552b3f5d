from __future__ import annotations

import math

import numpy as np
import pytest

from tests.bench.capacity import Replica, late, missed, reckoned, replicas_for, shares, simulated, waiting

REPLICA = Replica(servers=2, service_s=0.004, heads=300, load_s=0.002)


def test_waits_are_those_of_the_tables() -> None:
    assert waiting(0.5, 1, 1.0) == pytest.approx(0.5)  # M/M/1: the load itself
    assert waiting(1.0, 2, 1.0) == pytest.approx(1 / 3)
    assert late(0.5, 1, 1.0) == pytest.approx(math.log(100) / 0.5)  # M/M/1: exponential, of the spare rate
    assert late(3.0, 2, 1.0) == math.inf


def test_alike_tenants_miss_as_many_as_do_not_fit() -> None:
    assert missed(shares(1_000, 0.0), 300) == pytest.approx(0.7, abs=0.01)
    assert missed(shares(1_000, 0.0), 1_000) == 0.0
    assert missed(shares(1_000, 1.1), 300) < 0.25


def test_what_is_reckoned_is_what_happens_in_simulation() -> None:
    of = shares(1_000, 0.9)
    for per_s in (150.0, 300.0):
        told = reckoned(REPLICA, per_s, of)
        played = simulated(REPLICA, per_s, of, 60_000, np.random.default_rng(0))
        assert played.missed == pytest.approx(told.missed, rel=0.05)
        assert played.p99_s == pytest.approx(told.p99_s, rel=0.2)


def test_a_fleet_is_as_large_as_its_limits_want() -> None:
    of = shares(1_000, 0.9)
    assert replicas_for(REPLICA, 1_000, of, p99_s=1.0, busy=0.5) == 4
    count = replicas_for(REPLICA, 1_000, of, p99_s=0.025, busy=1.0)
    assert reckoned(REPLICA, 1_000 / count, of).p99_s <= 0.025 < reckoned(REPLICA, 1_000 / (count - 1), of).p99_s
