"""What every way to adapt must do, whichever it is and whatever the backbone reads."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from adapters.full import FullMethod
from adapters.head import HeadMethod
from adapters.lora import LoraMethod
from adapters.partial import PartialMethod
from tests.adapters.lessons import Told, contents_of, trainable, training_set
from tests.runtime.assembled import Assembled, assembled
from tsugiki.backbones import Loaded
from tsugiki.domain import Budget, Content, Fitted, LoraDelta, Modality, Profile, TrainingSet, WeightsDelta
from tsugiki.errors import Cancelled, Invalid, WrongFeatureSpace
from tsugiki.ports import Method
from tsugiki.runtime.trainable import TrainableBackbone
from tsugiki.storage.grafts import decode, encode
from tsugiki.training.hyperparameters import offered, used

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Graft

COUNTS = [14, 12, 12]
BUDGET_S = 8.0
KEPT = 1.1  # times the budget
LONGEST_GAP_S = 2.0  # between two checks, though one network is read or compiled meanwhile
TOLERANCE = 1e-5  # design, I2
METHODS: dict[str, Method] = {
    "head": HeadMethod(),
    "lora": LoraMethod(epochs=4, rank=4, top_blocks=None),
    "lora of the top block": LoraMethod(epochs=4, rank=4, top_blocks=1, targets="attention"),
    "partial": PartialMethod(epochs=4, top_blocks=1),
    "full": FullMethod(epochs=4),
}
SLOW = 1e-5  # rates by which the loss falls for longer than any budget here
ENDLESS: dict[str, Method] = {
    "lora": LoraMethod(epochs=10_000, learning_rate=SLOW, head_learning_rate=SLOW),
    "partial": PartialMethod(epochs=10_000, learning_rate=SLOW, head_learning_rate=SLOW),
    "full": FullMethod(epochs=10_000, learning_rate=SLOW, head_learning_rate=SLOW),
}
FOLDERS = {"image": "dinov2", "audio": "ast"}
CASES: list[tuple[Modality, str]] = [
    *(("text", name) for name in METHODS),
    ("image", "lora"),
    ("image", "full"),
    ("audio", "lora"),
    ("audio", "partial"),
]


@dataclass(frozen=True, slots=True)
class Subject:
    """A tiny backbone of one modality, and what is there to learn on it."""

    loaded: Loaded
    backbone: TrainableBackbone
    data: TrainingSet


@pytest.fixture(scope="module")
def subject_of(tiny: Loaded, loaded_folder: Callable[[str], Loaded]) -> Callable[[Modality], Subject]:
    @cache
    def made(modality: Modality) -> Subject:
        loaded = tiny if modality == "text" else loaded_folder(FOLDERS[modality])
        backbone = trainable(loaded)
        return Subject(loaded, backbone, training_set(backbone, COUNTS))

    return made


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[Modality, str]:
    return request.param


@pytest.fixture(scope="module")
def subject(case: tuple[Modality, str], subject_of: Callable[[Modality], Subject]) -> Subject:
    return subject_of(case[0])


@pytest.fixture(scope="module")
def backbone(subject: Subject) -> TrainableBackbone:
    return subject.backbone


@pytest.fixture(scope="module")
def data(subject: Subject) -> TrainingSet:
    return subject.data


@pytest.fixture(scope="module")
def method(case: tuple[Modality, str]) -> Method:
    return METHODS[case[1]]


@pytest.fixture(scope="module")
def fitted(method: Method, backbone: TrainableBackbone, data: TrainingSet) -> Fitted:
    return method.fit(backbone, data, Budget(), Told())


@pytest.fixture
def serving(tmp_path: Path, subject: Subject) -> Iterator[Assembled]:
    with assembled(tmp_path, subject.loaded) as made:
        yield made


def answers(backbone: TrainableBackbone, graft: Graft, contents: list[Content]) -> Floats:
    """(contents, classes), the head in double precision on the changed network's features."""
    rows = backbone.prepare(contents)
    features = backbone.features(rows, graft.delta, lambda: None).astype(np.float64)
    logits = (features @ graft.head.weight.T.astype(np.float64) + graft.head.bias) / graft.head.temperature
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)


def test_what_is_saved_and_loaded_answers_the_same(
    backbone: TrainableBackbone, fitted: Fitted, method: Method, serving: Assembled
) -> None:
    contents, _ = contents_of(backbone.modality, [4, 4, 4], seed=9)
    saved = encode(fitted.graft)
    loaded = decode(saved)
    assert encode(loaded) == saved
    assert loaded.method == method.name
    expected = answers(backbone, fitted.graft, contents)
    assert (answers(backbone, loaded, contents) == expected).all()
    project = serving.project("support", "acme")
    version = serving.publish_graft(project, fitted.graft)
    assert np.abs(serving.predictor.probabilities(project, version, contents) - expected).max() <= TOLERANCE


def test_the_graft_brings_the_delta_of_its_kind(fitted: Fitted, method: Method) -> None:
    kinds = {"head": type(None), "lora": LoraDelta, "partial": WeightsDelta, "full": WeightsDelta}
    assert isinstance(fitted.graft.delta, kinds[method.name])


def test_what_was_used_of_every_hyperparameter_is_told(fitted: Fitted, method: Method) -> None:
    told = {name: fitted.graft.details[name] for name in offered(method)}
    given = {name: value for name, value in used(method).items() if value is not None}
    assert told.keys() and None not in told.values()
    assert given.items() <= told.items()


def test_the_same_data_and_seed_give_the_same_graft_whoever_came_between(
    method: Method, backbone: TrainableBackbone, data: TrainingSet, fitted: Fitted
) -> None:
    other = training_set(backbone, [9, 11, 10], seed=3)
    theirs = method.fit(backbone, other, Budget(), Told())
    again = method.fit(backbone, data, Budget(), Told())
    assert encode(theirs.graft) != encode(fitted.graft)
    assert encode(again.graft) == encode(fitted.graft)
    assert (again.held_out.rows == fitted.held_out.rows).all()
    assert (again.held_out.probabilities == fitted.held_out.probabilities).all()


def test_grafts_of_two_tenants_do_not_feel_one_another(
    method: Method, backbone: TrainableBackbone, fitted: Fitted, serving: Assembled
) -> None:
    contents, _ = contents_of(backbone.modality, [4, 4, 4], seed=9)
    other = method.fit(backbone, training_set(backbone, [9, 11, 10], seed=3), Budget(), Told())
    ours, theirs = serving.project("support", "acme"), serving.project("support", "globex")
    mine, others = serving.publish_graft(ours, fitted.graft), serving.publish_graft(theirs, other.graft)
    alone = answers(backbone, fitted.graft, contents)
    assert np.abs(alone - answers(backbone, other.graft, contents)).max() > 100 * TOLERANCE
    for _ in range(2):
        serving.predictor.probabilities(theirs, others, contents)
        assert np.abs(serving.predictor.probabilities(ours, mine, contents) - alone).max() <= TOLERANCE


def test_held_out_answers_are_good_where_there_is_something_to_learn(fitted: Fitted, data: TrainingSet) -> None:
    held = fitted.held_out
    assert len(np.unique(held.rows)) == len(held.rows)
    assert np.abs(held.probabilities.sum(axis=1) - 1.0).max() < 1e-5
    assert (held.probabilities.argmax(axis=1) == data.targets[held.rows]).mean() > 0.7


def test_held_out_answers_are_no_better_than_chance_where_there_is_nothing(
    method: Method, backbone: TrainableBackbone
) -> None:
    data = training_set(backbone, [40, 40])
    drawn = replace(data, targets=np.random.default_rng(1).permutation(data.targets))
    held = method.fit(backbone, drawn, Budget(), Told()).held_out
    assert len(held.rows) >= 48
    assert (held.probabilities.argmax(axis=1) == drawn.targets[held.rows]).mean() < 0.65  # 0.5 and two deviations


@pytest.mark.parametrize("after", [3, 10, 25])
def test_cancelling_ends_the_fit(method: Method, backbone: TrainableBackbone, data: TrainingSet, after: int) -> None:
    with pytest.raises(Cancelled):
        method.fit(backbone, data, Budget(), Told(patience=after))


@pytest.mark.parametrize("name", ENDLESS)
def test_the_budget_is_kept_and_ends_with_a_version(name: str, subject_of: Callable[[Modality], Subject]) -> None:
    backbone, data = subject_of("text").backbone, subject_of("text").data
    METHODS[name].fit(backbone, data, Budget(0.0), Told())  # the first import of torch's parts is nobody's budget
    seen: list[float] = []
    told = Told(at_check=lambda: seen.append(time.monotonic()))
    started = time.monotonic()
    fitted = ENDLESS[name].fit(backbone, data, Budget(BUDGET_S), told)
    assert time.monotonic() - started <= KEPT * BUDGET_S
    assert fitted.graft.details["course"]["steps"] > 0
    assert np.diff(seen).max() <= LONGEST_GAP_S
    assert answers(backbone, fitted.graft, ["refund my money"]).shape == (1, 3)


def test_without_time_the_least_is_made(method: Method, backbone: TrainableBackbone, data: TrainingSet) -> None:
    fitted = method.fit(backbone, data, Budget(0.0), Told())
    held = fitted.held_out
    assert len(held.rows) > 0
    assert (held.probabilities.argmax(axis=1) == data.targets[held.rows]).mean() > 0.5


def test_progress_runs_forward(method: Method, backbone: TrainableBackbone, data: TrainingSet) -> None:
    told = Told()
    method.fit(backbone, data, Budget(), told)
    trained = [fraction for phase, fraction in told.phases if phase == "train"]
    assert trained == sorted(trained)
    assert 0.0 <= trained[0] <= trained[-1] <= 1.0
    assert told.phases[-1] == ("calibrate", 1.0)


@pytest.mark.parametrize(
    ("targets", "labels", "code"),
    [
        ([0] * 38, ("x",), "too_few_labels"),
        ([0] * 37 + [1], ("x", "y"), "too_few_samples"),
        ([0] * 19 + [1] * 19, ("x", "y", "z"), "too_few_samples"),
    ],
)
def test_too_little_to_learn_from_is_refused(
    method: Method,
    backbone: TrainableBackbone,
    data: TrainingSet,
    targets: list[int],
    labels: tuple[str, ...],
    code: str,
) -> None:
    with pytest.raises(Invalid) as raised:
        method.fit(backbone, replace(data, targets=np.asarray(targets), labels=labels), Budget(), Told())
    assert raised.value.reason == code
    assert raised.value.fix


def test_samples_that_cannot_be_held_out_are_refused(
    method: Method, backbone: TrainableBackbone, data: TrainingSet
) -> None:
    with pytest.raises(Invalid, match="one fold"):
        method.fit(backbone, replace(data, folds=np.zeros_like(data.folds)), Budget(), Told())


def test_features_that_are_no_numbers_are_refused(
    method: Method, backbone: TrainableBackbone, data: TrainingSet
) -> None:
    features = data.features.copy()
    features[3, 1] = np.nan
    with pytest.raises(Invalid, match="sample 3"):
        method.fit(backbone, replace(data, features=features), Budget(), Told())


def test_features_of_another_space_are_refused(method: Method, backbone: TrainableBackbone, data: TrainingSet) -> None:
    with pytest.raises(WrongFeatureSpace):
        method.fit(backbone, replace(data, feature_space="fsp_other"), Budget(), Told())


def test_the_verdict_says_what_is_there_and_what_is_needed(method: Method) -> None:
    profile = Profile(samples=1_000, labels=4, min_per_label=200, max_per_label=300, dim=384)
    verdict = method.assess(profile, Budget())
    assert verdict.skipped is None
    assert verdict.seconds > 0
    assert verdict.peak_bytes > 0
    larger = method.assess(replace(profile, samples=20_000), Budget())
    assert larger.seconds > verdict.seconds
    short = method.assess(replace(profile, min_per_label=1), Budget()).skipped
    assert short is not None
    assert short.startswith("a label with 1 samples, of at least ")


def test_planning_loads_neither_torch_nor_peft() -> None:
    code = (
        "import sys; from tsugiki.domain import Budget, Profile\n"
        "from adapters.lora import LoraMethod; from adapters.full import FullMethod\n"
        "from adapters.partial import PartialMethod\n"
        "[m.assess(Profile(100, 4, 20, 30, 384), Budget()) for m in (LoraMethod(), FullMethod(), PartialMethod())]\n"
        "print([name for name in ('torch', 'peft', 'transformers') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
