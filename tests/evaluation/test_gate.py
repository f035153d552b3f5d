from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsugiki.domain import GateDecision
from tsugiki.evaluation import compare

LABELS = ("a", "b")


def right(rows: int, wrong: int = 0, first_wrong: int = 0) -> NDArray[np.bool_]:
    answers = np.ones(rows, np.bool_)
    answers[first_wrong : first_wrong + wrong] = False
    return answers


def decide(candidate: NDArray[np.bool_], live: NDArray[np.bool_] | None) -> GateDecision:
    """The first tenth of the rows is of class b."""
    rows = len(candidate)
    return compare(candidate, live, (np.arange(rows) < rows // 10).astype(np.int64), LABELS)


def test_the_first_version_goes_live() -> None:
    assert decide(right(100, 50), None).promoted


def test_no_difference_goes_live() -> None:
    decision = decide(right(200, 20), right(200, 20))
    assert decision.promoted
    assert decision.difference == 0.0


def test_a_loss_that_may_be_chance_goes_live() -> None:
    decision = decide(right(100, 12, 50), right(100, 10, 50))
    assert decision.promoted
    assert decision.ci95 is not None
    assert decision.ci95[0] < 0.0 <= decision.ci95[1]


def test_a_loss_that_is_shown_does_not_go_live() -> None:
    decision = decide(right(300, 40, 100), right(300, 10, 100))
    assert not decision.promoted
    assert decision.reason.startswith("worse than the live version: -10.0 points on 300 rows")


def test_a_class_that_collapses_does_not_go_live_though_others_gain() -> None:
    candidate, live = right(500, 30), right(500, 60, 200)
    decision = decide(candidate, live)
    assert decision.difference is not None
    assert decision.difference > 0.0
    assert not decision.promoted
    assert "recall of 'b' falls by 60 points" in decision.reason
    assert decision.per_class[0]["label"] == "b"
    assert decide(live, live).promoted


def test_a_small_class_is_not_judged_alone() -> None:
    assert decide(right(150, 10), right(150)).per_class[0]["support"] == 15
    assert decide(right(150, 4), right(150, 4, 100)).promoted


def test_too_few_rows_are_not_compared() -> None:
    decision = decide(right(29, 29), right(29))
    assert decision.promoted
    assert decision.reason.startswith("too few rows to compare: 29 of the 30 needed")
    empty = np.zeros(0, np.bool_)
    assert compare(empty, empty, np.zeros(0, np.int64), LABELS).promoted


def test_refits_that_only_differ_by_chance_are_seldom_refused() -> None:
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        live = random.random(770) < 0.85
        candidate = np.where(random.random(770) < 0.08, random.random(770) < 0.85, live)
        refused += not compare(candidate, live, np.arange(770) % 33, [str(i) for i in range(33)]).promoted
    assert refused <= 15
