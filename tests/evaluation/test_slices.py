from __future__ import annotations

import numpy as np
import pytest

from tsugiki.evaluation.intervals import newcombe
from tsugiki.evaluation.slices import FEWEST_ROWS, MOST_VALUES, by_slice


def rows(count: int, wrong: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.arange(count) >= wrong


def test_the_difference_of_two_shares_as_published() -> None:
    # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10: 56/70 - 48/80
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_the_worst_slice_is_named_and_shown() -> None:
    correct = np.concatenate([rows(50, 25), rows(450, 20)])
    facets = [{"channel": "phone" if row < 50 else "mail", "even": str(row % 2 == 0)} for row in range(500)]
    found = by_slice(correct, facets)
    worst = found["worst"]
    assert (worst["key"], worst["value"], worst["rows"], worst["shown"]) == ("channel", "phone", 50, True)
    assert worst["accuracy"]["value"] == 0.5
    assert worst["difference"]["ci95"][1] < 0
    assert found["compared"] == len(found["data"]) == 4
    differences = [one["difference"]["value"] for one in found["data"]]
    assert differences == sorted(differences)


def test_a_slice_that_is_worse_by_chance_is_named_but_not_shown() -> None:
    random = np.random.default_rng(0)
    shown = 0
    for _ in range(50):
        correct = random.random(2_000) < 0.9
        shops: list[int] = random.integers(0, 40, 2_000).tolist()
        facets: list[dict[str, str]] = [{"shop": str(shop)} for shop in shops]
        found = by_slice(correct, facets)
        assert found["worst"]["difference"]["value"] < 0
        shown += found["worst"]["shown"]
    assert shown <= 4


def test_few_rows_many_values_and_no_metadata_make_no_slices() -> None:
    few = [{"a": "x" if row < FEWEST_ROWS - 1 else "y"} for row in range(200)]
    assert by_slice(rows(200, 20), few)["compared"] == 0
    many = [{"id": str(row % (MOST_VALUES + 1))} for row in range(5_000)]
    assert by_slice(rows(5_000, 20), many)["compared"] == 0
    empty: list[dict[str, str]] = [{}] * 200
    assert by_slice(rows(200, 20), empty) == {"compared": 0, "worst": None, "data": []}
    assert by_slice(rows(200, 20), []) == {"compared": 0, "worst": None, "data": []}
