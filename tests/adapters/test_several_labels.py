"""What the methods that learn several labels a sample must do, whichever it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from adapters import METHODS, selection
from adapters.head import HeadMethod
from adapters.lora import LoraMethod
from tests.adapters.lessons import FILLING, TOPICS, Told, trainable
from tests.runtime.grafting import route
from tsugiki.backbones import Loaded
from tsugiki.data.folds import assign_folds
from tsugiki.domain import Budget, Fitted, Profile, TrainingSet
from tsugiki.errors import Cancelled, Invalid
from tsugiki.ports import Method
from tsugiki.runtime.heads import HeadBank
from tsugiki.runtime.trainable import TrainableBackbone
from tsugiki.storage.grafts import decode, encode

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 64
COMBINATIONS: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (0, 1), (2,), (0, 2), (1, 2), (0, 1, 2))
LEARNERS: dict[str, Method] = {"head": HeadMethod(), "lora": LoraMethod(epochs=4, rank=4, top_blocks=None)}


@pytest.fixture(scope="module")
def backbone(tiny: Loaded) -> TrainableBackbone:
    return trainable(tiny)


@pytest.fixture(scope="module")
def data(backbone: TrainableBackbone) -> TrainingSet:
    random = np.random.default_rng(0)
    topics = [words.split() for words in TOPICS.values()]
    targets = random.permutation(np.arange(ROWS) % len(COMBINATIONS))
    texts: list[str] = []
    for target in targets:
        own: list[str] = []
        for place in COMBINATIONS[int(target)]:
            own += random.choice(topics[place], 3).tolist()
        texts.append(" ".join(random.permutation([*random.choice(FILLING.split(), 3), *own]).tolist()))
    rows = backbone.prepare(texts)
    return TrainingSet(
        feature_space=backbone.space.id,
        features=backbone.features(rows, None, lambda: None),
        targets=targets,
        folds=assign_folds(targets, [str(row) for row in range(ROWS)], 0),
        groups=np.arange(ROWS),
        labels=tuple(TOPICS),
        seed=0,
        rows=rows,
        combinations=COMBINATIONS,
    )


@pytest.fixture(scope="module", params=LEARNERS)
def method(request: pytest.FixtureRequest) -> Method:
    return LEARNERS[request.param]


@pytest.fixture(scope="module")
def fitted(method: Method, backbone: TrainableBackbone, data: TrainingSet) -> Fitted:
    return method.fit(backbone, data, Budget(), Told())


def truth_of(data: TrainingSet) -> NDArray[np.bool_]:
    return np.array([[label in COMBINATIONS[target] for label in range(3)] for target in data.targets], np.bool_)


def test_labels_are_told_apart_on_rows_held_out(fitted: Fitted, data: TrainingSet) -> None:
    held = fitted.held_out
    assert held.answers is not None
    assert held.answers.shape == held.probabilities.shape
    assert (held.answers == truth_of(data)[held.rows]).mean() > 0.7
    assert fitted.graft.head.thresholds is not None
    assert ((fitted.graft.head.thresholds > 0.0) & (fitted.graft.head.thresholds < 1.0)).all()


def test_the_graft_survives_its_file(fitted: Fitted, method: Method) -> None:
    saved = encode(fitted.graft)
    loaded = decode(saved)
    assert encode(loaded) == saved
    assert loaded.method == method.name
    assert loaded.head.thresholds is not None and fitted.graft.head.thresholds is not None
    assert loaded.head.thresholds.tobytes() == fitted.graft.head.thresholds.tobytes()


def test_the_same_data_and_seed_give_the_same_graft(
    method: Method, backbone: TrainableBackbone, data: TrainingSet, fitted: Fitted
) -> None:
    assert encode(method.fit(backbone, data, Budget(), Told()).graft) == encode(fitted.graft)


def test_one_label_alone_can_be_learnt(method: Method, backbone: TrainableBackbone, data: TrainingSet) -> None:
    one = replace(data, labels=("billing",), combinations=tuple((0,) if 0 in of else () for of in COMBINATIONS))
    held = method.fit(backbone, one, Budget(), Told()).held_out
    assert held.answers is not None
    assert (held.answers == truth_of(data)[held.rows][:, :1]).mean() > 0.6


def test_without_time_the_least_is_made(method: Method, backbone: TrainableBackbone, data: TrainingSet) -> None:
    held = method.fit(backbone, data, Budget(0.0), Told()).held_out
    assert held.answers is not None and len(held.rows) > 0


def test_enough_sets_answered_wholly_tell_what_is_out_of_scope(backbone: TrainableBackbone) -> None:
    """Of features as a network with something to say would yield them."""
    random, dim = np.random.default_rng(0), backbone.space.dim
    targets = np.arange(1_000) % 4
    features = (np.eye(4, dim)[targets] + random.normal(0.0, 0.02, (1_000, dim))).astype(np.float32)
    data = TrainingSet(
        feature_space=backbone.space.id,
        features=features,
        targets=targets,
        folds=np.arange(1_000) // 4 % 5,
        groups=np.arange(1_000),
        labels=("a", "b"),
        seed=0,
        combinations=((), (0,), (1,), (0, 1)),
    )
    fitted = HeadMethod().fit(backbone, data, Budget(), Told())
    loaded = decode(encode(fitted.graft))
    assert loaded.head.scope is not None
    assert loaded.head.scope.means.shape == (3, dim)
    bank = HeadBank(backbone.space.id, dim)
    slot = bank.load(loaded)
    known, foreign = bank.probabilities([route(slot, backbone.space.id)] * 2, np.stack([features[3], -features[3]]))
    assert isinstance(known, np.ndarray) and isinstance(foreign, np.ndarray)
    assert known.shape == (5,)
    assert (known[2:4] >= 0.0).all()
    assert known[4] > 0.0 > foreign[4]


def test_cancelling_ends_the_fit(method: Method, backbone: TrainableBackbone, data: TrainingSet) -> None:
    with pytest.raises(Cancelled):
        method.fit(backbone, data, Budget(), Told(patience=3))


@pytest.mark.parametrize(
    ("labels", "combinations", "code"),
    [
        ((), ((),) * 8, "too_few_labels"),
        (("a",), ((0,),) * 8, "too_few_samples"),  # nobody is without it
        (("a",), ((),) * 8, "too_few_samples"),  # nobody has it
    ],
)
def test_what_cannot_be_learnt_is_refused(
    method: Method,
    backbone: TrainableBackbone,
    data: TrainingSet,
    labels: tuple[str, ...],
    combinations: tuple[tuple[int, ...], ...],
    code: str,
) -> None:
    with pytest.raises(Invalid) as raised:
        method.fit(backbone, replace(data, labels=labels, combinations=combinations), Budget(), Told())
    assert raised.value.reason == code


def test_a_plan_names_only_methods_that_can() -> None:
    profile = Profile(samples=500, labels=3, min_per_label=60, max_per_label=90, dim=384, task="multi_label")
    plan = selection.plan(METHODS, profile, Budget(), "auto")
    assert plan.chosen == "head"
    assert {verdict.method for verdict in plan.candidates if verdict.skipped is None} == {"head", "lora"}
    one = replace(profile, labels=1)
    assert selection.plan(METHODS, one, Budget(), "head").chosen == "head"
