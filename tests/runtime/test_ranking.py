"""The best labels, as a full stable sort would name them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsugiki.runtime.ranking import best_first, outcome_of


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.one_of(st.none(), st.integers(1, 45)))
def test_the_best_are_the_first_of_all_in_order_and_equal_ones_keep_theirs(
    tenths: list[int], top_k: int | None
) -> None:
    probabilities = np.array(tenths, np.float32) / np.float32(10)
    expected = sorted(range(len(tenths)), key=lambda index: (-tenths[index], index))
    assert best_first(probabilities, top_k) == expected[:top_k]


@pytest.mark.parametrize("top_k", [1, 3, 999])
def test_a_thousand_labels_are_ranked_alike(top_k: int) -> None:
    probabilities = np.random.default_rng(0).random(1_000, dtype=np.float32)
    assert best_first(probabilities, top_k) == best_first(probabilities, None)[:top_k]


@pytest.mark.parametrize(
    ("score", "margin", "below", "outcome"),
    [
        (0.4, None, None, "label"),
        (0.4, 0.0, None, "label"),
        (0.4, 0.1, 0.4, "label"),
        (0.4, None, 0.5, "abstain"),
        (0.9, -0.1, None, "out_of_scope"),
        (0.4, -0.1, 0.5, "out_of_scope"),
    ],
)
def test_what_is_out_of_scope_is_not_weighed_and_what_scores_low_is_not_named(
    score: float, margin: float | None, below: float | None, outcome: str
) -> None:
    assert outcome_of(score, margin, below) == outcome
