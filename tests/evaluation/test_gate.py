from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tsugiki.domain import GateDecision, MethodName
from tsugiki.evaluation.gate import COST, LEAST_GAIN, MARGIN, decide
from tsugiki.evaluation.pairing import Pairs, Reversal

LABELS = ("a", "b")


def right(rows: int, wrong: int = 0, first_wrong: int = 0) -> NDArray[np.bool_]:
    answers = np.ones(rows, np.bool_)
    answers[first_wrong : first_wrong + wrong] = False
    return answers


def paired(candidate: NDArray[np.bool_], live: NDArray[np.bool_]) -> Pairs:
    """The first tenth of the rows is of class b."""
    rows = len(candidate)
    return Pairs(LABELS, (np.arange(rows) < rows // 10).astype(np.int64), candidate, live)


def refit(candidate: NDArray[np.bool_], live: NDArray[np.bool_]) -> GateDecision:
    return decide(paired(candidate, live), "head", "head")


def replacement(
    candidate: NDArray[np.bool_], live: NDArray[np.bool_], method: MethodName, of: MethodName
) -> GateDecision:
    return decide(paired(candidate, live), method, of)


def test_the_first_version_goes_live() -> None:
    assert decide(None, "head", None).promoted


def test_no_difference_goes_live() -> None:
    decision = refit(right(200, 20), right(200, 20))
    assert (decision.promoted, decision.difference, decision.rule, decision.rows) == (True, 0.0, "refit", 200)


def test_a_loss_that_may_be_chance_goes_live() -> None:
    decision = refit(right(100, 12, 50), right(100, 10, 50))
    assert decision.promoted
    assert decision.ci95 is not None
    assert decision.ci95[0] < 0.0 <= decision.ci95[1]


def test_a_loss_that_is_shown_does_not_go_live() -> None:
    decision = refit(right(300, 40, 100), right(300, 10, 100))
    assert not decision.promoted
    assert decision.reason.startswith("worse than the live version: -10.0 points, 95 % interval")
    assert "0 gained, 30 lost of 300 rows" in decision.reason


@pytest.mark.parametrize(("method", "of"), [("head", "head"), ("lora", "head"), ("head", "full"), ("full", "full")])
def test_a_class_that_collapses_does_not_go_live_though_others_gain(method: MethodName, of: MethodName) -> None:
    candidate, live = right(500, 30), right(500, 60, 200)
    decision = replacement(candidate, live, method, of)
    assert decision.difference is not None
    assert decision.difference > 0.0
    assert not decision.promoted
    assert "recall of 'b' falls by 60 points" in decision.reason
    assert decision.per_class[0]["label"] == "b"


def test_a_small_class_is_not_judged_alone() -> None:
    assert refit(right(90, 9), right(90)).per_class[0]["support"] == 9
    assert refit(right(90, 4), right(90)).promoted
    assert not refit(right(100, 8), right(100)).promoted


def test_too_few_rows_are_not_compared() -> None:
    decision = refit(right(29, 6, 10), right(29))
    assert decision.promoted
    assert decision.reason == "too few rows to compare: 29 of the 30 needed"
    empty = np.zeros(0, np.bool_)
    assert refit(empty, empty).promoted
    assert not replacement(empty, empty, "lora", "head").promoted


@pytest.mark.parametrize("dearer", ["lora", "partial", "full"])
def test_a_tie_goes_to_the_cheaper_method(dearer: MethodName) -> None:
    answers = right(5_000, 500, 600)
    up = replacement(answers, answers, dearer, "head")
    assert not up.promoted
    assert up.reason.startswith("no better than the live version, which costs less to serve")
    assert replacement(answers, answers, "head", dearer).promoted


def test_a_dearer_method_must_be_shown_to_gain() -> None:
    live = right(2_000, 200, 1_000)
    assert replacement(right(2_000, 150, 1_000), live, "full", "head").promoted
    assert not replacement(right(2_000, 192, 1_000), live, "full", "head").promoted
    few = replacement(right(200, 19, 100), right(200, 20, 110), "full", "head")
    assert not few.promoted
    assert few.reason.startswith("not shown to be at most 1 point worse")


def test_a_cheaper_method_must_be_shown_to_keep_what_was_gained() -> None:
    live = right(400, 20, 100)
    assert not replacement(right(400, 26, 100), live, "head", "full").promoted
    assert refit(right(400, 24, 100), live).promoted


def test_a_label_turned_round_waits_for_a_person() -> None:
    answers = right(300)
    moved = Pairs(LABELS, np.zeros(300, np.int64), answers, answers, (Reversal("b", 10, 6),))
    decision = decide(moved, "head", "head")
    assert not decision.promoted
    assert "6 of 10 samples of 'b'" in decision.reason
    half = Pairs(LABELS, np.zeros(300, np.int64), answers, answers, (Reversal("b", 10, 5), Reversal("a", 4, 4)))
    assert decide(half, "head", "head").promoted


def test_refits_that_only_differ_by_chance_are_seldom_refused() -> None:
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        live = random.random(770) < 0.85
        candidate = np.where(random.random(770) < 0.08, random.random(770) < 0.85, live)
        pairs = Pairs(tuple(str(i) for i in range(33)), np.arange(770) % 33, candidate, live)
        refused += not decide(pairs, "head", "head").promoted
    assert refused <= 15


def test_a_replacement_a_point_worse_than_allowed_seldom_passes() -> None:
    random = np.random.default_rng(0)
    promoted = 0
    for _ in range(300):
        live = random.random(2_000) < 0.9
        candidate = live & (random.random(2_000) >= 0.02 / 0.9)
        promoted += replacement(candidate, live, "head", "full").promoted
    assert promoted <= 3


def test_costs_follow_what_serves() -> None:
    assert sorted(COST, key=lambda method: COST[method]) == ["zero_shot", "head", "lora", "partial", "full"]


def sets(rows: int, changed: int = 0, by: float = 0.0) -> Pairs:
    """F1 of sets of labels, half right but for what changed."""
    live = np.full(rows, 0.5)
    candidate = live.copy()
    candidate[:changed] += by
    return Pairs(LABELS, np.zeros(rows, np.int64), candidate, live, recalls=())


def test_of_sets_too_few_changed_rows_show_nothing() -> None:
    for rows, changed, by in ((50, 1, 0.25), (50, 1, 0.5), (100, 1, 0.5)):
        assert not decide(sets(rows, changed, by), "lora", "head").promoted
    assert not decide(sets(30), "head", "lora").promoted, "a cheaper one that changed none of few rows"
    assert decide(sets(1_000), "head", "lora").promoted, "the control: of many"
    assert decide(sets(100, 40, 0.5), "lora", "head").promoted


ANSWERS = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 2)), min_size=1, max_size=200)


def drawn(rows: list[tuple[bool, bool, int]]) -> Pairs:
    candidate, live, targets = (np.array(column) for column in zip(*rows, strict=True))
    return Pairs(("a", "b", "c"), targets, candidate, live)


@given(rows=ANSWERS, better=st.sets(st.integers(0, 199)))
def test_a_refit_that_may_go_live_still_may_with_more_right_answers(
    rows: list[tuple[bool, bool, int]], better: set[int]
) -> None:
    improved = [(mine or row in better, theirs, label) for row, (mine, theirs, label) in enumerate(rows)]
    if decide(drawn(rows), "head", "head").promoted:
        assert decide(drawn(improved), "head", "head").promoted


@given(rows=ANSWERS, method=st.sampled_from(sorted(COST)), live=st.sampled_from(sorted(COST)))
def test_every_decision_has_a_reason_and_what_was_compared(
    rows: list[tuple[bool, bool, int]], method: MethodName, live: MethodName
) -> None:
    decision = decide(drawn(rows), method, live)
    assert decision.reason
    assert decision.rows == len(rows) == sum(found["support"] for found in decision.per_class)
    assert decision.rule == ("refit" if COST[method] == COST[live] else "replacement")
    assert decision.ci95 is not None and decision.difference is not None
    assert decision.ci95[0] <= decision.difference <= decision.ci95[1]
    if decision.promoted and decision.rule == "replacement":
        assert decision.ci95[0] >= -MARGIN
        assert COST[method] < COST[live] or decision.difference >= LEAST_GAIN


@given(rows=ANSWERS, method=st.sampled_from(sorted(COST)))
def test_answers_that_are_the_live_version_s_own_go_live_by_the_same_method_only(
    rows: list[tuple[bool, bool, int]], method: MethodName
) -> None:
    same = drawn([(theirs, theirs, label) for _, theirs, label in rows])
    assert decide(same, method, method).promoted
    if COST[method]:
        assert not decide(same, method, "head").promoted
