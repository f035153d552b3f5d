from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from adapters.zero_shot import ZeroShotMethod
from tests.adapters.test_head import Told
from tests.training.drawing import draw, draw_names
from tsugiki.backbones import Loaded
from tsugiki.domain import Budget, Profile, TrainingSet
from tsugiki.errors import Cancelled, Invalid, WrongFeatureSpace

if TYPE_CHECKING:
    from tsugiki.domain import Floats

PROFILE = Profile(samples=0, labels=3, min_per_label=0, max_per_label=0, dim=384, declared=3, named=True)


@pytest.fixture
def data(tiny: Loaded) -> TrainingSet:
    dim = tiny.backbone.space.dim
    drawn = draw([12, 9, 7], dim=dim, noise=0.1)
    names = 3.0 * draw_names(3, dim)
    labels = ("x", "y", "z")
    return TrainingSet(
        tiny.backbone.space.id, drawn.features, drawn.targets, drawn.folds, drawn.groups, labels, seed=0, names=names
    )


def test_names_answer_without_a_sample(tiny: Loaded, data: TrainingSet) -> None:
    empty = np.zeros(0, np.int64)
    none = replace(data, features=data.features[:0], targets=empty, folds=empty, groups=empty)
    fitted = ZeroShotMethod().fit(tiny.backbone, none, Budget(), Told([]))
    head = fitted.graft.head
    assert (fitted.graft.method, head.labels, fitted.graft.delta) == ("zero_shot", ("x", "y", "z"), None)
    assert (head.weight.dtype, head.weight.shape) == (np.float32, (3, tiny.backbone.space.dim))
    assert ((data.features @ head.weight.T + head.bias).argmax(axis=1) == data.targets).mean() > 0.9
    assert fitted.held_out.rows.shape == (0,) and fitted.held_out.probabilities.shape == (0, 3)


def test_samples_judge_it_all_of_them_for_none_was_looked_at(tiny: Loaded, data: TrainingSet) -> None:
    fitted = ZeroShotMethod().fit(tiny.backbone, data, Budget(), Told([]))
    assert fitted.held_out.rows.tolist() == list(range(28))
    assert np.allclose(fitted.held_out.probabilities.sum(axis=1), 1.0)
    other = replace(data, targets=np.roll(data.targets, 5))
    again = ZeroShotMethod().fit(tiny.backbone, other, Budget(), Told([]))
    assert np.array_equal(again.held_out.probabilities, fitted.held_out.probabilities)


def test_how_sure_it_is_does_not_hang_on_the_length_of_features(tiny: Loaded, data: TrainingSet) -> None:
    assert data.names is not None
    short = ZeroShotMethod().fit(tiny.backbone, data, Budget(), Told([])).graft.head
    longer = replace(data, names=7.0 * data.names, features=7.0 * data.features)
    long = ZeroShotMethod().fit(tiny.backbone, longer, Budget(), Told([])).graft.head
    assert np.allclose(longer.features @ long.weight.T, data.features @ short.weight.T, atol=1e-5)


def test_networks_that_crowd_all_texts_together_are_as_sure_as_others(tiny: Loaded, data: TrainingSet) -> None:
    """What tells their texts apart is small beside what all of them share."""
    assert data.names is not None
    names = data.names

    def answered(shared: float, rest: float) -> Floats:
        def crowded(rows: Floats) -> Floats:
            moved = rest * rows
            moved[:, 0] = shared
            return moved

        given = replace(data, names=crowded(names), features=crowded(data.features))
        return ZeroShotMethod().fit(tiny.backbone, given, Budget(), Told([])).held_out.probabilities

    alone = answered(0.0, 1.0)
    assert alone.max(axis=1).mean() > 0.5
    np.testing.assert_allclose(answered(1.0, 0.3), alone, atol=1e-4)


def test_the_last_block_alone_speaks(tiny: Loaded, data: TrainingSet) -> None:
    head = ZeroShotMethod().fit(tiny.backbone, data, Budget(), Told([])).graft.head
    space = tiny.backbone.space
    assert len(space.widths) == 2 and not head.weight[:, space.dim // 2 :].any()


def test_names_spelt_alike_leave_doubt(tiny: Loaded, data: TrainingSet) -> None:
    assert data.names is not None
    same = replace(data, names=np.repeat(data.names[:1], 3, axis=0))
    probabilities = ZeroShotMethod().fit(tiny.backbone, same, Budget(), Told([])).held_out.probabilities
    assert np.abs(probabilities - 1 / 3).max() < 1e-3


def test_what_cannot_be_fitted_is_refused(tiny: Loaded, data: TrainingSet) -> None:
    assert data.names is not None
    fit = ZeroShotMethod().fit
    with pytest.raises(WrongFeatureSpace):
        fit(tiny.backbone, replace(data, feature_space="fsp_other"), Budget(), Told([]))
    with pytest.raises(Invalid) as raised:
        fit(tiny.backbone, replace(data, labels=("x",), names=data.names[:1]), Budget(), Told([]))
    assert raised.value.reason == "too_few_labels"
    with pytest.raises(Invalid) as raised:
        fit(tiny.backbone, replace(data, names=None), Budget(), Told([]))
    assert raised.value.reason == "method_unavailable"
    with pytest.raises(Invalid) as raised:
        fit(tiny.backbone, replace(data, names=data.names * np.float32(np.nan)), Budget(), Told([]))
    assert raised.value.reason == "features_not_finite"
    with pytest.raises(Cancelled):
        fit(tiny.backbone, data, Budget(), Told([], patience=0))


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (PROFILE, None),
        (replace(PROFILE, declared=1), "1 labels are declared, of at least 2 needed"),
        (replace(PROFILE, labels=1_001), "1001 labels, of at most 1000"),
    ],
)
def test_the_verdict_says_why_not(profile: Profile, reason: str | None) -> None:
    assert ZeroShotMethod().assess(profile, Budget()).skipped == reason
