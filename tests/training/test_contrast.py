"""Learning by contrast, of many labels with few texts each: the loss, what shares a batch, and what comes of it."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch leaves much of its types unknown.

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from adapters.lora import CONTRASTED_EPOCHS, CONTRASTED_PART, LoraMethod
from tests.adapters.lessons import FILLING, Told, trainable
from tests.tiny import WORDS
from tsugiki.backbones import Loaded
from tsugiki.data.folds import assign_folds
from tsugiki.domain import Budget, Head, LoraDelta, Profile, TrainingSet
from tsugiki.runtime.trainable import TrainableBackbone
from tsugiki.training.batches import BATCH_TOKENS, CONTRASTED_LABELS, ROWS_ALIKE, label_batches
from tsugiki.training.blending import NAMED_BELOW
from tsugiki.training.contrast import TEMPERATURE, contrast_loss
from tsugiki.training.learner import Aim, Learner
from tsugiki.training.network import ENCODER
from tsugiki.training.objective import FEWEST_CONTRASTED, MOST_PAIRED, expected_objective
from tsugiki.training.rounds import FEWEST_WATCHED

if TYPE_CHECKING:
    from tsugiki.domain import Fitted, Floats

LABELS = [*(word for word in WORDS.split() if word not in FILLING.split()), *"bcdefghjk"]
SHORT = LoraMethod(epochs=2, rank=4)


@pytest.fixture(scope="module")
def backbone(tiny: Loaded) -> TrainableBackbone:
    return trainable(tiny)


def intents(backbone: TrainableBackbone, per_label: int, labels: int = FEWEST_CONTRASTED) -> TrainingSet:
    """Texts of a label's word amid others that say nothing."""
    random = np.random.default_rng(0)
    targets = np.repeat(np.arange(labels), per_label)
    filling = FILLING.split()
    texts = [
        " ".join(random.permutation([LABELS[target], *random.choice(filling, int(random.integers(2, 6)))]).tolist())
        for target in targets.tolist()
    ]
    rows = backbone.prepare(texts)
    return TrainingSet(
        feature_space=backbone.space.id,
        features=backbone.features(rows, None, lambda: None),
        targets=targets,
        folds=assign_folds(targets, [str(place) for place in range(len(targets))], 0),
        groups=np.arange(len(targets)),
        labels=tuple(LABELS[:labels]),
        seed=0,
        rows=rows,
        name_rows=[backbone.prepare([word]) for word in LABELS[:labels]],
    )


def test_the_loss_is_of_naming_another_of_one_s_label() -> None:
    features = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = [0, 0, 1, 1, 1, 2, 0]
    losses: list[float] = []
    for one in range(7):
        others = [place for place in range(7) if place != one]
        cosines = torch.stack([torch.cosine_similarity(features[one], features[place], dim=0) for place in others])
        chances = torch.softmax(cosines / TEMPERATURE, dim=0).log().tolist()
        alike = [chance for place, chance in zip(others, chances, strict=True) if targets[place] == targets[one]]
        losses += [-float(np.mean(alike))] if alike else []
    assert len(losses) == 6
    assert float(contrast_loss(features, torch.tensor(targets))) == pytest.approx(np.mean(losses))


@pytest.mark.parametrize("targets", [[0, 0, 0], [0, 0, 1], [0, 1, 2]])
def test_rows_without_their_like_or_without_others_have_finite_gradients(targets: list[int]) -> None:
    features = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    contrast_loss(features, torch.tensor(targets)).backward()
    assert features.grad is not None
    assert bool(torch.isfinite(features.grad).all())
    assert bool((features.grad != 0).any()) == (len(set(targets)) < 3)


def test_a_batch_has_many_labels_and_several_rows_of_each() -> None:
    targets = np.random.default_rng(0).permutation(np.repeat(np.arange(77), 10))
    found = label_batches(targets, [12] * len(targets), np.random.default_rng(1))
    assert sorted(np.concatenate(found).tolist()) == list(range(len(targets)))
    for batch in found[:-1]:
        labels, counts = np.unique(targets[batch], return_counts=True)
        assert counts.min() >= ROWS_ALIKE
        assert 0.6 * CONTRASTED_LABELS < len(labels) <= CONTRASTED_LABELS
    other = label_batches(targets, [12] * len(targets), np.random.default_rng(2))
    assert [batch.tolist() for batch in other] != [batch.tolist() for batch in found]


def test_of_long_rows_there_are_fewer_in_a_batch() -> None:
    targets = np.repeat(np.arange(40), 4)
    found = label_batches(targets, [256] * 160, np.random.default_rng(0))
    assert {len(batch) * 256 for batch in found} == {BATCH_TOKENS}
    assert [batch.tolist() for batch in label_batches(np.zeros(2, np.int64), [9_000] * 2, np.random.default_rng(0))]


def test_a_batch_of_all_lengths_is_seen_as_its_rows_are_alone(backbone: TrainableBackbone) -> None:
    data = intents(backbone, 4)
    assert len({row.size for row in data.rows}) > 2
    network = backbone.network()
    attached = LoraMethod(top_blocks=2).attach(network.get_submodule(ENCODER))
    head = Head(np.eye(32, 64, dtype=np.float32), np.zeros(32, np.float32), 1.0, data.labels)
    pupil = Learner(
        network,
        attached,
        data.rows,
        None,
        head,
        Aim(0.0, None, 1e-2, objective="contrast"),
        torch.device("cpu"),
        torch.float32,
    )
    every = np.random.default_rng(0).permutation(len(data.rows))
    alone = np.concatenate([pupil.scores(every[place : place + 1]) for place in range(len(every))])
    assert np.abs(pupil.scores(every) - alone).max() < 1e-5


def test_many_labels_of_few_texts_each_are_learnt_by_contrast(backbone: TrainableBackbone) -> None:
    data = intents(backbone, 8)
    assert len(data.rows) // 5 < FEWEST_WATCHED
    fitted = SHORT.fit(backbone, data, Budget(), Told())
    details = fitted.graft.details
    assert (details["objective"], details["top_blocks"]) == ("contrast", 2)
    assert LoraMethod().fit(backbone, data, Budget(), Told()).graft.details["epochs"] == CONTRASTED_EPOCHS
    given = replace(SHORT, top_blocks=1).fit(backbone, data, Budget(), Told()).graft.details
    assert (given["objective"], given["top_blocks"], given["epochs"]) == ("contrast", 1, SHORT.epochs)
    fewer = SHORT.fit(backbone, intents(backbone, 8, FEWEST_CONTRASTED - 1), Budget(), Told()).graft.details
    assert (fewer["objective"], fewer["top_blocks"]) == ("pairs", 2)


def test_a_part_of_what_contrast_taught_is_served(backbone: TrainableBackbone) -> None:
    """Whichever it is, the same of every matrix, and all of it where another objective taught."""
    contrasted, taught = intents(backbone, 5), intents(backbone, 5, FEWEST_CONTRASTED - 1)
    for data, part in ((contrasted, CONTRASTED_PART), (taught, 1.0)):
        served, whole = (
            _up(method.fit(backbone, data, Budget(), Told())) for method in (SHORT, replace(SHORT, part=1.0))
        )
        assert np.allclose(served, part * whole, rtol=1e-5)
        assert np.abs(whole).max() > 0.0


def _up(fitted: Fitted) -> Floats:
    assert isinstance(fitted.graft.delta, LoraDelta)
    return np.concatenate([pair.up.ravel() for pair in fitted.graft.delta.modules.values()])


def test_learning_by_contrast_draws_labels_apart_and_proves_it_on_every_sample(backbone: TrainableBackbone) -> None:
    """Enough samples to be watched, were there a head that learns along to watch them by."""
    data = intents(backbone, NAMED_BELOW - 1, len(LABELS))
    assert len(data.rows) // 5 >= FEWEST_WATCHED
    fitted = replace(SHORT, learning_rate=2e-2).fit(backbone, data, Budget(), Told())
    course = fitted.graft.details["course"]
    assert (course["kept"], course["losses"]) == (1.0, ())
    assert fitted.held_out.rows.tolist() == list(range(len(data.rows)))

    def together(features: Floats) -> float:
        return float(contrast_loss(torch.from_numpy(features), torch.from_numpy(data.targets)))

    assert together(backbone.features(data.rows, fitted.graft.delta, lambda: None)) < 0.95 * together(data.features)
    drawn = replace(data, targets=np.random.default_rng(4).permutation(data.targets))
    guessed = SHORT.fit(backbone, drawn, Budget(), Told()).held_out
    assert (guessed.probabilities.argmax(axis=1) == drawn.targets).mean() < 0.1


@pytest.mark.parametrize(
    ("changes", "objective"),
    [
        ({}, "contrast"),
        ({"labels": FEWEST_CONTRASTED - 1}, "pairs"),
        ({"labels": FEWEST_CONTRASTED - 1, "samples": MOST_PAIRED + 1}, "labels"),
        ({"labels": FEWEST_CONTRASTED - 1, "mean_tokens": 256.0}, "labels"),
        ({"samples": NAMED_BELOW * 77}, "labels"),
        ({"task": "multi_label"}, "labels"),
        ({"modality": "image"}, "labels"),
        ({"samples": 64, "labels": 32}, "contrast"),
    ],
)
def test_the_plan_knows_what_will_be_minimised(changes: dict[str, object], objective: str) -> None:
    profile = Profile(samples=770, labels=77, min_per_label=10, max_per_label=10, dim=768, widths=(384, 384), blocks=6)
    changed = replace(profile, **changes)
    assert expected_objective(changed) == objective
    by_hand = LoraMethod(top_blocks=6, epochs=CONTRASTED_EPOCHS)
    if objective == "contrast":
        assert LoraMethod().assess(changed, Budget()) == by_hand.assess(changed, Budget())
