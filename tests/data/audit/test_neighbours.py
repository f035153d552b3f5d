from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.data.audit.planted import clean
from tsugiki.data.audit import neighbours, search
from tsugiki.data.audit.cells import CANDIDATES, cells_of
from tsugiki.errors import Cancelled

if TYPE_CHECKING:
    from tsugiki.domain import Floats

SHIFT = 3.0


def cosines(features: Floats) -> Floats:
    rows = features - features.mean(axis=0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = rows @ rows.T
    np.fill_diagonal(found, -2)
    return found


def test_the_nearest_of_every_row_are_those_of_all_pairs() -> None:
    features = clean().features
    near = search(features)
    expected = np.sort(cosines(features), axis=1)[:, ::-1][:, : neighbours.NEIGHBOURS]
    np.testing.assert_allclose(near.cosines, expected, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(cosines(features), near.rows, axis=1), expected, atol=1e-5)
    assert near.exact and not (near.rows == np.arange(len(features))[:, None]).any()


def test_what_all_rows_share_does_not_count_as_likeness() -> None:
    features = clean().features
    np.testing.assert_allclose(search(features + SHIFT).cosines, search(features).cosines, atol=1e-4)


def test_cells_find_nearly_all_neighbours_and_every_near_duplicate(monkeypatch: pytest.MonkeyPatch) -> None:
    data = clean(classes=60, per_class=80)
    features = np.concatenate([data.features, data.features[:200] + np.float32(0.004)])
    exact = search(features)
    monkeypatch.setattr(neighbours, "EXACT_ROWS", 1_000)
    by_cells = search(features)
    assert exact.exact and not by_cells.exact
    assert (by_cells.cosines <= exact.cosines + 1e-5).all()  # none invented
    assert (by_cells.cosines[:, 0] >= exact.cosines[:, 0] - 1e-5).mean() > 0.95
    assert len(exact.pairs(0.97)) >= 200
    assert by_cells.pairs(0.97).tolist() == exact.pairs(0.97).tolist()


def test_every_row_is_in_one_cell_and_no_cell_looks_at_more_than_its_limit() -> None:
    rows = np.random.default_rng(0).standard_normal((6_000, 16)).astype(np.float32)
    rows[:4_500] = rows[0]  # one text sent again and again
    cells = list(cells_of(rows / np.linalg.norm(rows, axis=1, keepdims=True)))
    assert sorted(np.concatenate([cell.rows for cell in cells]).tolist()) == list(range(6_000))
    assert all(len(cell.candidates) <= CANDIDATES for cell in cells)
    assert all(np.isin(cell.rows, cell.candidates).all() for cell in cells)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_as_many_neighbours_as_there_are_others(count: int) -> None:
    near = search(np.eye(3, 8, dtype=np.float32)[:count])
    assert near.rows.shape == near.cosines.shape == (count, max(count - 1, 0))
    assert near.pairs(0.5).shape == (0, 2)


def test_rows_that_are_not_numbers_or_all_alike_are_near_nobody() -> None:
    features = clean().features
    features[4], features[5, 0] = np.nan, np.inf
    near = search(features)
    assert np.isfinite(near.cosines).all()
    assert not np.isin([4, 5], near.pairs(0.1)).any()
    assert len(search(np.ones((30, 4), np.float32)).pairs(0.1)) == 0


def test_the_search_says_how_far_it_is_and_stops_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK_ELEMENTS", 1_200)  # ten rows of 120
    told: list[float] = []
    search(clean().features, "text", told.append)
    assert told == sorted(told) and len(told) == 12 and told[-1] == 1.0

    def stop(done: float) -> None:
        if done > 0.5:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        search(clean().features, "text", stop)


def test_pictures_are_the_same_farther_apart_than_texts() -> None:
    data = clean().features
    beside = data[:1] + 0.1 * np.random.default_rng(0).standard_normal(data[:1].shape)
    features = np.concatenate([data, beside.astype(np.float32)])
    of = {modality: search(features, modality) for modality in neighbours.LIKENESS}
    cosine = of["text"].cosines[-1, 0]
    assert neighbours.LIKENESS["image"].nearly_same < cosine < neighbours.LIKENESS["text"].nearly_same
    assert len(of["text"].nearly_same()) == 0
    assert of["image"].nearly_same().tolist() == [[0, len(data)]]
