from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tsugiki.evaluation.pairing import History, Pairs, Reversal, pair

LABELS = st.sampled_from(["a", "b", "c"])
TOLD = st.dictionaries(st.integers(0, 20).map(str), LABELS, max_size=20)


def alone(*histories: History) -> dict[str, str]:
    """Every sample a group of its own."""
    return {sample: sample for history in histories for sample in history.told}


def answered(told: dict[str, str], answers: dict[str, str]) -> History:
    return History(told, {sample: answers[sample] for sample in told if sample in answers})


def triples(pairs: Pairs) -> list[tuple[str, bool, bool]]:
    return [
        (pairs.labels[target], bool(mine), bool(theirs))
        for target, mine, theirs in zip(pairs.targets, pairs.candidate, pairs.live, strict=True)
    ]


def test_a_sample_counts_with_the_label_both_were_told() -> None:
    live = History({"1": "a", "2": "a", "3": "b", "4": "b"}, {"1": "a", "2": "b", "3": "b", "4": "b"})
    candidate = History({"1": "a", "2": "a", "3": "a", "5": "b"}, {"1": "b", "2": "a", "3": "a", "5": "b"})
    pairs = pair(live, candidate, alone(live, candidate))
    assert triples(pairs) == [("a", False, True), ("a", True, False)]
    assert pairs.reversals == (Reversal("b", 1, 1),)


def test_a_flip_that_the_candidate_learned_does_not_flatter_it() -> None:
    told = {str(n): "a" if n < 50 else "b" for n in range(100)}
    flipped = told | {str(n): "b" for n in range(0, 50, 2)}
    pairs = pair(History(told, told), History(flipped, flipped), {sample: sample for sample in told})
    assert len(pairs.targets) == 75
    assert pairs.candidate.all()
    assert pairs.reversals == (Reversal("a", 50, 25),)


def test_a_label_that_is_new_is_no_reversal() -> None:
    told = {"1": "a", "2": "a", "3": "b"}
    pairs = pair(History(told, told), History(told | {"1": "new"}, told), {sample: sample for sample in told})
    assert pairs.reversals == ()
    assert len(pairs.targets) == 2


def test_a_correction_that_the_live_version_would_have_made_is_no_reversal() -> None:
    live = History({"1": "a", "2": "b"}, {"1": "b", "2": "b"})
    pairs = pair(live, History({"1": "b", "2": "b"}, {}), {"1": "1", "2": "2"})
    assert pairs.reversals == ()


def test_a_text_told_otherwise_in_more_spellings_counts_as_lost() -> None:
    told = {"1": "a", "2": "b"}
    groups = {"1": "x", "2": "y", "3": "x", "4": "x"}
    outvoted = History(told | {"3": "b", "4": "b"}, told)
    pairs = pair(History(told, told), outvoted, groups)
    assert triples(pairs) == [("a", False, True), ("b", True, True)]
    assert pairs.reversals == (Reversal("a", 1, 1),)
    contradicted = History(told | {"3": "b"}, told)
    assert triples(pair(History(told, told), contradicted, groups)) == [("a", True, True), ("b", True, True)]
    doubted = History(told, {"1": "b", "2": "b"})
    assert triples(pair(doubted, outvoted, groups)) == [("b", True, True)]


@given(before=TOLD, now=TOLD, first=TOLD, second=TOLD)
def test_only_samples_that_both_held_out_and_agree_on_are_compared(
    before: dict[str, str], now: dict[str, str], first: dict[str, str], second: dict[str, str]
) -> None:
    live, candidate = answered(before, first), answered(now, second)
    pairs = pair(live, candidate, alone(live, candidate))
    common = [s for s in live.answered if s in candidate.answered and before[s] == now[s]]
    assert triples(pairs) == [(before[s], second[s] == before[s], first[s] == before[s]) for s in common]
    assert all(0 < one.moved <= one.right for one in pairs.reversals)


@given(told=TOLD, answers=TOLD)
def test_a_version_beside_itself_has_nothing_gained_lost_or_moved(
    told: dict[str, str], answers: dict[str, str]
) -> None:
    history = answered(told, answers)
    pairs = pair(history, history, alone(history))
    assert np.array_equal(pairs.candidate, pairs.live)
    assert pairs.reversals == ()
