from __future__ import annotations

import numpy as np
import pytest

from tests.training.drawing import draw
from tsugiki.training.rotation import evened, principal_axes


@pytest.mark.parametrize("widths", [(24,), (4, 12, 8)])
@pytest.mark.parametrize("counts", [[5, 6], [40, 50]])
def test_weights_turned_back_give_the_same_scores(counts: list[int], widths: tuple[int, ...]) -> None:
    features = draw(counts, dim=24).features * 3 + 7
    rotation = principal_axes(features, evened(features, widths))
    turned = rotation.apply(features)
    weights = np.random.default_rng(0).standard_normal((4, turned.shape[1])).astype(np.float32)
    back = rotation.undo(weights)
    np.testing.assert_allclose(features @ back[:, :-1].T + back[:, -1], turned @ weights.T, atol=2e-3)


def test_distances_are_kept_up_to_one_scale() -> None:
    features = draw([7, 8], dim=40).features
    turned = principal_axes(features).apply(features)[:, :-1]
    assert turned.shape[1] < 15
    before = np.linalg.norm(features[:, None] - features, axis=2)
    after = np.linalg.norm(turned[:, None] - turned, axis=2)
    scale = after[0, 1] / before[0, 1]
    np.testing.assert_allclose(after, scale * before, atol=1e-4)
    assert np.square(turned).sum(axis=1).mean() == pytest.approx(1.0, rel=1e-4)


def test_equal_rows_leave_the_bias_alone() -> None:
    rotation = principal_axes(np.full((6, 5), 0.3, np.float32))
    assert rotation.axes == 0
    assert rotation.apply(np.full((6, 5), 0.3, np.float32)).tolist() == [[1.0]] * 6


@pytest.mark.parametrize("counts", [[5, 6], [40, 50]])
def test_evened_parts_count_alike_however_small_one_was(counts: list[int]) -> None:
    features = draw(counts, dim=24).features
    small = np.concatenate([features[:, :8], features[:, 8:] * np.float32(0.01)], axis=1)
    even = [principal_axes(given, evened(given, (8, 16))).apply(given)[:, :-1] for given in (features, small)]
    np.testing.assert_allclose(even[0] @ even[0].T, even[1] @ even[1].T, atol=1e-4)
    as_is = [principal_axes(given).apply(given)[:, :-1] for given in (features, small)]
    assert np.abs(as_is[0] @ as_is[0].T - as_is[1] @ as_is[1].T).max() > 0.1  # the control


def test_a_part_that_is_the_same_in_all_rows_stays_out() -> None:
    features = draw([7, 8], dim=12).features
    joined = np.concatenate([features, np.ones_like(features)], axis=1)
    turned = principal_axes(joined, evened(joined, (12, 12))).apply(joined)
    np.testing.assert_allclose(np.abs(turned), np.abs(principal_axes(features).apply(features)), atol=1e-3)
