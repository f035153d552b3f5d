from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from adapters.head import HeadMethod
from tests.training.drawing import draw, draw_names
from tsugiki.backbones import Loaded
from tsugiki.domain import Budget, Phase, Profile, TrainingSet
from tsugiki.errors import Cancelled, Invalid, WrongFeatureSpace

PROFILE = Profile(samples=100, labels=4, min_per_label=20, max_per_label=30, dim=384)


@dataclass(slots=True)
class Told:
    """Progress that remembers; cancels after `patience` checks."""

    phases: list[tuple[Phase, float]]
    patience: int = 1_000_000

    def phase(self, phase: Phase, fraction: float) -> None:
        self.phases.append((phase, fraction))

    def metric(self, name: str, value: float) -> None: ...

    def check(self) -> None:
        self.patience -= 1
        if self.patience < 0:
            raise Cancelled("stopped by the test")


@pytest.fixture
def data(tiny: Loaded) -> TrainingSet:
    drawn = draw([12, 9, 7], dim=tiny.backbone.space.dim, noise=0.1)
    return TrainingSet(
        tiny.backbone.space.id, drawn.features, drawn.targets, drawn.folds, drawn.groups, ("x", "y", "z"), seed=0
    )


def test_a_graft_carries_a_head_in_the_order_of_the_labels(tiny: Loaded, data: TrainingSet) -> None:
    told = Told([])
    fitted = HeadMethod().fit(tiny.backbone, data, Budget(), told)
    head = fitted.graft.head
    assert (fitted.graft.method, fitted.graft.feature_space) == ("head", tiny.backbone.space.id)
    assert (head.weight.shape, head.bias.shape) == ((3, tiny.backbone.space.dim), (3,))
    assert (head.weight.dtype, head.bias.dtype) == (np.float32, np.float32)
    assert head.weight.flags.c_contiguous
    assert head.labels == ("x", "y", "z")
    assert ((data.features @ head.weight.T + head.bias).argmax(axis=1) == data.targets).mean() > 0.95
    assert {phase for phase, _ in told.phases} == {"train", "calibrate"}


def test_a_given_strength_is_the_only_one_tried_and_cheaper(tiny: Loaded, data: TrainingSet) -> None:
    free, fixed = HeadMethod(), HeadMethod(l2=2.0)
    told = fixed.fit(tiny.backbone, data, Budget(), Told([])).graft
    assert (told.details["l2"], told.details["strength"]) == (2.0, 2.0)
    assert [step["strength"] for step in told.details["path"]] == [2.0]
    stronger = HeadMethod(l2=20.0).fit(tiny.backbone, data, Budget(), Told([])).graft
    assert np.abs(stronger.head.weight).max() < np.abs(told.head.weight).max()
    large = replace(PROFILE, samples=10_000, labels=100)
    assert fixed.assess(large, Budget()).seconds < free.assess(large, Budget()).seconds


def test_cancelling_stops_the_fit(tiny: Loaded, data: TrainingSet) -> None:
    with pytest.raises(Cancelled):
        HeadMethod().fit(tiny.backbone, data, Budget(), Told([], patience=5))


def test_features_of_another_space_are_refused(tiny: Loaded, data: TrainingSet) -> None:
    with pytest.raises(WrongFeatureSpace):
        HeadMethod().fit(tiny.backbone, replace(data, feature_space="fsp_other"), Budget(), Told([]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_features_that_are_no_numbers_are_refused(tiny: Loaded, data: TrainingSet, value: float) -> None:
    features = data.features.copy()
    features[3, 1] = value
    with pytest.raises(Invalid, match="sample 3") as raised:
        HeadMethod().fit(tiny.backbone, replace(data, features=features), Budget(), Told([]))
    assert raised.value.reason == "features_not_finite"


@pytest.mark.parametrize(
    ("targets", "labels", "code"),
    [
        ([0] * 28, ("x",), "too_few_labels"),
        ([0] * 27 + [1], ("x", "y"), "too_few_samples"),
        ([0] * 14 + [1] * 14, ("x", "y", "z"), "too_few_samples"),
    ],
)
def test_too_little_to_learn_from_is_refused(
    tiny: Loaded, data: TrainingSet, targets: list[int], labels: tuple[str, ...], code: str
) -> None:
    with pytest.raises(Invalid) as raised:
        HeadMethod().fit(tiny.backbone, replace(data, targets=np.asarray(targets), labels=labels), Budget(), Told([]))
    assert raised.value.reason == code
    assert raised.value.fix


def test_a_label_without_samples_is_borne_if_its_name_says_something(tiny: Loaded, data: TrainingSet) -> None:
    named = replace(data, labels=("x", "y", "z", "w"), names=draw_names(4, tiny.backbone.space.dim))
    graft = HeadMethod().fit(tiny.backbone, named, Budget(), Told([])).graft
    assert graft.head.weight.shape == (4, tiny.backbone.space.dim)
    assert graft.details["name_weight"] > 0.0
    with pytest.raises(Invalid, match="name") as raised:
        HeadMethod().fit(tiny.backbone, replace(named, names=np.float32(np.inf) * draw_names(4)), Budget(), Told([]))
    assert raised.value.reason == "features_not_finite"


def test_samples_that_cannot_be_held_out_are_refused(tiny: Loaded, data: TrainingSet) -> None:
    with pytest.raises(Invalid, match="one fold"):
        HeadMethod().fit(tiny.backbone, replace(data, folds=np.zeros_like(data.folds)), Budget(), Told([]))


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (replace(PROFILE, labels=1), "1 labels, of at least 2 needed"),
        (replace(PROFILE, min_per_label=1), "a label with 1 samples"),
        (replace(PROFILE, samples=3, min_per_label=0, named=True), "3 samples of 4 labels, of one a label"),
        (replace(PROFILE, labels=1_001), "1001 labels, of at most 1000"),
        (replace(PROFILE, samples=100_001), "100001 samples, of at most 100000"),
    ],
)
def test_the_verdict_says_why_not(profile: Profile, reason: str) -> None:
    assert reason in (HeadMethod().assess(profile, Budget()).skipped or "")


def test_more_samples_cost_more_and_the_largest_stays_bounded() -> None:
    small = HeadMethod().assess(PROFILE, Budget())
    large = HeadMethod().assess(replace(PROFILE, samples=100_000, labels=1_000), Budget())
    assert small.skipped is large.skipped is None
    assert small.seconds < large.seconds < 1_200
    assert small.peak_bytes < large.peak_bytes < 2 * 2**30
