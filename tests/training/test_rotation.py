from __future__ import annotations

import numpy as np
import pytest

from tests.training.drawing import draw
from tsugiki.training.rotation import principal_axes


@pytest.mark.parametrize("counts", [[5, 6], [40, 50]])
def test_weights_turned_back_give_the_same_scores(counts: list[int]) -> None:
    features = draw(counts, dim=24).features * 3 + 7
    rotation = principal_axes(features)
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
