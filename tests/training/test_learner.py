"""What is done to a network in training, on the tiny one: each short cut against the plain way."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch and peft leave much of their types unknown.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from adapters.lora import LoraMethod
from adapters.partial import PartialMethod
from tests.adapters.lessons import texts_of, trainable
from tsugiki.backbones import Loaded
from tsugiki.backbones.inputs import stack
from tsugiki.domain import Head, Prepared
from tsugiki.runtime.trainable import TrainableBackbone
from tsugiki.training.frozen import compute_below
from tsugiki.training.learner import Aim, Learner
from tsugiki.training.low_rank import LowRankLinear
from tsugiki.training.network import ENCODER, Attached, blocks_of
from tsugiki.training.tutor import class_weights

AIM = Aim(0.0, None, 1e-2)
CPU = torch.device("cpu")
Attach = Callable[[torch.nn.Module], Attached]


@pytest.fixture
def backbone(tiny: Loaded) -> TrainableBackbone:
    return trainable(tiny)


@pytest.fixture
def rows(backbone: TrainableBackbone) -> list[Prepared]:
    texts, _ = texts_of([10, 10, 10])
    return backbone.prepare(texts)


def head() -> Head:
    random = np.random.default_rng(0)
    return Head(random.standard_normal((3, 64)).astype(np.float32), np.zeros(3, np.float32), 1.0, ("x", "y", "z"))


def learner(
    backbone: TrainableBackbone,
    rows: list[Prepared],
    attach: Attach,
    *,
    cached: bool = False,
    kind: torch.dtype = torch.float32,
    aim: Aim = AIM,
) -> Learner:
    network = backbone.network()
    torch.manual_seed(0)
    attached = attach(network.get_submodule(ENCODER))
    unchanged = backbone.network().to(kind)
    below = compute_below(unchanged, rows, 32, attached.first_block, lambda: None) if cached else None
    assert (below is not None) == cached
    return Learner(network, attached, rows, below, head(), aim, CPU, kind)


def test_one_operation_does_what_a_linear_module_and_its_matrices_do() -> None:
    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.float64, requires_grad=True)

    torch.manual_seed(0)
    x, weight, bias, down, up = draw(2, 3, 5), draw(4, 5), draw(4), draw(2, 5), draw(4, 2)
    plain = torch.nn.functional.linear(x, weight, bias) + x @ down.T @ up.T
    joined = LowRankLinear.apply(x, weight, bias, down, up)
    assert torch.allclose(joined, plain)
    wanted = torch.autograd.grad(plain.square().sum(), (x, down, up))
    found = torch.autograd.grad(joined.square().sum(), (x, down, up))
    assert all(torch.allclose(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("attach", [LoraMethod(top_blocks=1).attach, PartialMethod(top_blocks=1).attach])
def test_blocks_computed_once_change_no_step(backbone: TrainableBackbone, rows: list[Prepared], attach: Attach) -> None:
    plain = learner(backbone, rows, attach)
    cached = learner(backbone, rows, attach, cached=True)
    batch, targets = np.array([3, 0, 29, 11]), np.array([0, 1, 2, 0])
    for _ in range(3):
        assert cached.step(batch, targets, 1.0) == pytest.approx(plain.step(batch, targets, 1.0), abs=1e-5)
    wanted = plain.values()
    assert all(np.allclose(values, wanted[name], atol=1e-4) for name, values in cached.values().items())


def test_lower_blocks_stay_as_they_are(backbone: TrainableBackbone, rows: list[Prepared]) -> None:
    values = learner(backbone, rows, PartialMethod(top_blocks=1).attach).values()
    assert all(name.startswith("encoder.layer.1.") for name in values)
    assert len(values) == 16


def test_shorter_numbers_learn_about_the_same_and_keep_what_no_step_moved(
    backbone: TrainableBackbone, rows: list[Prepared]
) -> None:
    exact = learner(backbone, rows, PartialMethod(top_blocks=1).attach)
    short = learner(backbone, rows, PartialMethod(top_blocks=1).attach, kind=torch.bfloat16)
    assert all((a == b).all() for a, b in zip(exact.values().values(), short.values().values(), strict=True))
    batch, targets = np.arange(20), np.arange(20) % 3
    losses = [(exact.step(batch, targets, 1.0), short.step(batch, targets, 1.0)) for _ in range(10)]
    assert losses[-1][0] < losses[0][0]
    assert losses[-1][1] == pytest.approx(losses[-1][0], rel=0.05)


def test_a_state_that_was_kept_comes_back(backbone: TrainableBackbone, rows: list[Prepared]) -> None:
    pupil = learner(backbone, rows, LoraMethod(rank=4).attach)
    batch, targets = np.arange(8), np.arange(8) % 3
    pupil.step(batch, targets, 1.0)
    kept, scores = pupil.state(), pupil.scores(batch)
    for _ in range(3):
        pupil.step(batch, targets, 1.0)
    assert np.abs(pupil.scores(batch) - scores).max() > 1e-4
    pupil.restore(kept)
    assert (pupil.scores(batch) == scores).all()


def test_a_loss_that_is_no_number_moves_nothing(backbone: TrainableBackbone, rows: list[Prepared]) -> None:
    pupil = learner(backbone, rows, LoraMethod(rank=4).attach)
    before = pupil.state()
    broken = pupil.state()
    broken[-1].fill_(float("nan"))
    pupil.restore(broken)
    assert np.isnan(pupil.step(np.arange(4), np.array([0, 1, 2, 0]), 1.0))
    moved = zip(before[:-1], pupil.state()[:-1], strict=True)
    assert all(bool((a == b).all()) for a, b in moved)


def test_a_gradient_that_is_no_number_moves_nothing(backbone: TrainableBackbone, rows: list[Prepared]) -> None:
    """The loss may be one all the same: what is just finite on the way there overflows on the way back."""
    pupil = learner(backbone, rows, LoraMethod(rank=4).attach)
    steep = pupil.state()
    steep[-2].mul_(1e36)
    pupil.restore(steep)
    assert np.isfinite(pupil.scores(np.arange(4))).all()
    assert not np.isfinite(pupil.step(np.arange(4), np.array([0, 1, 2, 0]), 1.0))
    assert all(bool((a == b).all()) for a, b in zip(steep, pupil.state(), strict=True))


def test_lora_begins_as_the_unchanged_network(backbone: TrainableBackbone, rows: list[Prepared]) -> None:
    network = backbone.network()
    LoraMethod().attach(network.get_submodule(ENCODER))
    batch = stack([row.row for row in rows])
    with torch.no_grad():
        found = network(*(torch.from_numpy(part) for part in batch.values())).numpy()
    assert np.abs(found - backbone.features(rows, None, lambda: None)).max() <= 1e-5


def test_attention_alone_leaves_the_other_modules(backbone: TrainableBackbone) -> None:
    encoder = backbone.network().get_submodule(ENCODER)
    names = LoraMethod(targets="attention", top_blocks=1).attach(encoder).groups[0].parameters
    assert {name.split(".lora_")[0] for name in names} == {
        f"encoder.layer.1.attention.{part}" for part in ("self.query", "self.key", "self.value", "output.dense")
    }
    assert len(blocks_of(encoder)) == 2


def test_classes_are_weighted_where_they_are_unlike() -> None:
    assert class_weights(np.array([0, 0, 1, 1, 1]), 2) is None
    targets = np.array([0] * 90 + [1] * 10)
    weights = class_weights(targets, 2)
    assert weights is not None
    assert weights[targets].mean() == pytest.approx(1.0)
    assert 1.0 < weights[1] / weights[0] < 9.0


def test_the_loss_is_weighed_by_class_and_smoothed_as_was_asked(
    backbone: TrainableBackbone, rows: list[Prepared]
) -> None:
    """At a rate of nothing, so that it is told and nothing is learnt."""
    batch, targets = np.arange(12), np.arange(12) % 3
    weights = np.array([1.0, 2.0, 5.0], np.float32)
    told: set[float] = set()
    for smoothing, given in ((0.0, None), (0.3, None), (0.0, weights), (0.3, weights)):
        pupil = learner(backbone, rows, LoraMethod().attach, aim=replace(AIM, smoothing=smoothing, weights=given))
        logs = np.log(softmax(pupil.scores(batch)))
        share = np.ones(3) if given is None else given.astype(np.float64)
        wanted = -(share[targets] * logs[np.arange(12), targets]).sum() / share[targets].sum()
        evenly = -(share * logs).sum() / 3 / share[targets].sum()
        found = pupil.step(batch, targets, 0.0)
        assert found == pytest.approx((1.0 - smoothing) * wanted + smoothing * evenly, rel=1e-4)
        told.add(round(found, 6))
    assert len(told) == 4


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("longest", "moves"), [(1e-12, False), (1e12, True)])
def test_no_step_is_longer_than_allowed(
    backbone: TrainableBackbone,
    rows: list[Prepared],
    monkeypatch: pytest.MonkeyPatch,
    longest: float,
    moves: bool,
) -> None:
    """Adam takes steps of the rate whatever the gradient, unless that is nothing beside its own smallest number."""
    monkeypatch.setattr("tsugiki.training.learner.LONGEST_STEP", longest)
    pupil = learner(backbone, rows, LoraMethod().attach)
    weight, _ = pupil.head()
    pupil.step(np.arange(12), np.arange(12) % 3, 1.0)
    moved = np.abs(pupil.head()[0] - weight).max()
    assert (moved > 0.5 * AIM.head_rate) == moves
    assert moves or moved < 1e-3 * AIM.head_rate


@pytest.mark.parametrize("cached", [False, True])
def test_inputs_are_varied_in_learning_alone_and_where_all_of_the_network_sees_them(
    backbone: TrainableBackbone, rows: list[Prepared], monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    seen: list[int] = []

    def varied(inputs: Sequence[torch.Tensor], random: torch.Generator) -> list[torch.Tensor]:
        seen.append(len(inputs[0]))
        return list(inputs)

    monkeypatch.setattr("tsugiki.training.learner.varied", varied)
    pupil = learner(backbone, rows, PartialMethod(top_blocks=1).attach, cached=cached)
    pupil.scores(np.arange(12))
    assert seen == []
    pupil.step(np.arange(12), np.arange(12) % 3, 1.0)
    assert seen == ([] if cached else [12])


def test_lower_blocks_learn_more_slowly(backbone: TrainableBackbone) -> None:
    method = PartialMethod(top_blocks=2, rate_decay=0.5, learning_rate=1e-3)
    encoder = backbone.network().get_submodule(ENCODER)
    attached = method.attach(encoder)
    place = {id(p): depth for depth, block in enumerate(reversed(blocks_of(encoder))) for p in block.parameters()}
    found = {(place.get(id(p), 0), group.rate) for group in attached.groups for p in group.parameters.values()}
    assert found == {(0, 1e-3), (1, 5e-4)}
