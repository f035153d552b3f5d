"""Learning from pairs: the loss beside its definition, and what a network makes of it."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch leaves much of its types unknown.

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from adapters.lora import MANY_PAIRED, MANY_PAIRED_EPOCHS, PAIRED_RATE, RATE, LoraMethod
from adapters.partial import PartialMethod
from tests.adapters.lessons import TOPICS, Told, texts_of, trainable, training_set
from tsugiki.backbones import Loaded
from tsugiki.domain import Budget, Fitted, Head, Profile
from tsugiki.runtime.trainable import TrainableBackbone
from tsugiki.training.batches import PAIRED_ROWS
from tsugiki.training.learner import Aim, Learner
from tsugiki.training.network import ENCODER
from tsugiki.training.objective import MOST_PAIRED
from tsugiki.training.pairs import pair_loss

SHORT = LoraMethod(epochs=4, rank=4)


@pytest.fixture(scope="module")
def backbone(tiny: Loaded) -> TrainableBackbone:
    return trainable(tiny)


def test_the_loss_is_the_mean_over_pairs_of_either_kind() -> None:
    features = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor([0, 0, 1, 1, 1, 2, 0])
    alike: list[float] = []
    unlike: list[float] = []
    for one, other in itertools.combinations(range(7), 2):
        cosine = float(torch.nn.functional.cosine_similarity(features[one], features[other], dim=0))
        same = bool(targets[one] == targets[other])
        (alike if same else unlike).append((cosine - same) ** 2)
    wanted = (np.mean(alike) + np.mean(unlike)) / 2
    assert float(pair_loss(features, targets)) == pytest.approx(wanted)


@pytest.mark.parametrize("targets", [[0, 0, 0], [0, 1, 2], [0]])
def test_pairs_of_one_kind_alone_are_a_loss_too_and_no_pair_teaches_nothing(targets: list[int]) -> None:
    features = torch.randn(len(targets), 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    pair_loss(features, torch.tensor(targets)).backward()
    assert features.grad is not None
    assert bool(torch.isfinite(features.grad).all())
    assert bool(features.grad.any()) == (len(targets) > 1)


def test_a_network_draws_samples_of_a_label_together_and_leaves_the_head(backbone: TrainableBackbone) -> None:
    texts, targets = texts_of([8, 8, 8])
    rows, place = backbone.prepare(texts), np.arange(24)
    network = backbone.network()
    torch.manual_seed(0)
    attached = LoraMethod(top_blocks=2).attach(network.get_submodule(ENCODER))
    head = Head(np.ones((3, 64), np.float32), np.zeros(3, np.float32), 1.0, ("x", "y", "z"))
    aim = Aim(0.0, None, 1e-2, objective="pairs")
    pupil = Learner(network, attached, rows, None, head, aim, torch.device("cpu"), torch.float32)
    losses = [pupil.step(place, np.array(targets), 1.0) for _ in range(24)]
    assert losses[-1] < 0.8 * losses[0]
    weight, bias = pupil.head()
    assert (weight == head.weight).all()
    assert (bias == head.bias).all()


def test_few_texts_are_learnt_by_pairs_in_all_blocks_and_many_by_labels(backbone: TrainableBackbone) -> None:
    few, more = training_set(backbone, [8, 8, 8]), training_set(backbone, [22, 22, 22])
    many = training_set(backbone, [MOST_PAIRED // 3 + 1] * 3)
    assert len(few.rows) <= PAIRED_ROWS < len(more.rows) <= MOST_PAIRED < len(many.rows)
    learnt = SHORT.fit(backbone, few, Budget(), Told()).graft.details
    assert (learnt["objective"], learnt["top_blocks"], learnt["learning_rate"]) == ("pairs", 2, RATE)
    assert learnt["course"]["steps"] == SHORT.epochs  # all samples at once
    by_batches = SHORT.fit(backbone, more, Budget(), Told()).graft.details
    assert (by_batches["objective"], by_batches["top_blocks"]) == ("pairs", 2)
    assert by_batches["learning_rate"] == PAIRED_RATE
    assert by_batches["course"]["steps"] == 2 * SHORT.epochs  # four fifths of 66 at a time
    usual = replace(SHORT, epochs=0.2).fit(backbone, many, Budget(), Told()).graft.details
    assert (usual["objective"], usual["top_blocks"], usual["learning_rate"]) == ("labels", 1, RATE)
    named = replace(SHORT, top_blocks=1).fit(backbone, few, Budget(), Told())
    assert (named.graft.details["objective"], named.graft.details["top_blocks"]) == ("pairs", 1)
    dearer = PartialMethod(epochs=2).fit(backbone, few, Budget(), Told())
    assert dearer.graft.details["objective"] == "labels"


def test_every_one_of_few_samples_is_held_out(backbone: TrainableBackbone) -> None:
    few = training_set(backbone, [8, 8, 8])
    held = SHORT.fit(backbone, few, Budget(), Told()).held_out
    assert held.rows.tolist() == list(range(24))
    drawn = replace(few, targets=np.random.default_rng(4).permutation(few.targets))
    guessed = SHORT.fit(backbone, drawn, Budget(), Told()).held_out
    assert (guessed.probabilities.argmax(axis=1) == drawn.targets).mean() < 0.7  # 1/3, and four deviations


def test_the_head_hears_names_as_the_trained_network_sees_them(backbone: TrainableBackbone) -> None:
    named, silent = (training_set(backbone, [5, 5, 5], named=heard) for heard in (True, False))
    with_names, without = (SHORT.fit(backbone, data, Budget(), Told()) for data in (named, silent))
    assert with_names.graft.details["name_weight"] > 0.0
    assert without.graft.details["name_weight"] == 0.0
    words = backbone.prepare(list(TOPICS.values()))

    def right(fitted: Fitted) -> int:
        head = fitted.graft.head
        features = backbone.features(words, fitted.graft.delta, lambda: None)
        return int(((features @ head.weight.T + head.bias).argmax(axis=1) == np.arange(3)).sum())

    assert right(with_names) == 3
    many = training_set(backbone, [MOST_PAIRED // 3 + 1] * 3, named=True)
    assert replace(SHORT, epochs=0.2).fit(backbone, many, Budget(), Told()).graft.details["name_weight"] == 0.0


def test_the_plan_reckons_with_all_blocks_where_samples_are_few() -> None:
    few = Profile(samples=40, labels=5, min_per_label=8, max_per_label=8, dim=768, widths=(384, 384), blocks=6)
    usual, several = replace(few, samples=MOST_PAIRED + 1), replace(few, task="multi_label")
    half, whole = LoraMethod(top_blocks=3), LoraMethod(top_blocks=6)
    for paired in (few, replace(few, samples=MOST_PAIRED)):
        assert LoraMethod().assess(paired, Budget()) == whole.assess(paired, Budget())
    shorter = LoraMethod(epochs=MANY_PAIRED_EPOCHS)
    for samples, shortened in ((MANY_PAIRED, False), (MANY_PAIRED + 1, True), (MOST_PAIRED, True)):
        paired = replace(few, samples=samples)
        assert (LoraMethod().assess(paired, Budget()) == shorter.assess(paired, Budget())) == shortened
    assert LoraMethod().assess(usual, Budget()) == half.assess(usual, Budget())
    assert LoraMethod().assess(several, Budget()) == half.assess(several, Budget())
    long = replace(few, mean_tokens=256.0)
    assert LoraMethod().assess(long, Budget()) == half.assess(long, Budget())
