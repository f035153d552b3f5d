from __future__ import annotations

import pytest

from tsugiki.jobs.profiling import COUNTED_TEXTS, profile_of, spread


@pytest.mark.parametrize(
    ("counts", "declared", "named"),
    [
        ({"a": 50, "b": 50}, (), True),
        ({"a": 50, "b": 50, "c": 1}, (), False),
        ({"a": 50, "b": 50, "c": 1}, ("a",), False),
        ({"a": 50, "b": 50, "c": 1}, ("a", "b"), True),
        ({"a": 50, "b": 50, "c": 1}, ("c",), True),
        ({"a": 50}, ("a", "b"), True),
    ],
)
def test_a_name_stands_in_for_samples_beside_names_that_were_declared(
    counts: dict[str, int], declared: tuple[str, ...], named: bool
) -> None:
    assert profile_of(counts, None, declared).named == named


@pytest.mark.parametrize("samples", [0, 1, COUNTED_TEXTS, 2 * COUNTED_TEXTS - 1, 50 * COUNTED_TEXTS + 1])
def test_no_more_texts_are_counted_than_are_needed(samples: int) -> None:
    assert COUNTED_TEXTS / 2 <= len(spread(range(samples), "text")) + max(0, COUNTED_TEXTS - samples) <= COUNTED_TEXTS
