"""Texts of the tiny backbone's own words to train it on for real, by the engine that would serve it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from tsugiki.backbones import Loaded
from tsugiki.data.folds import assign_folds
from tsugiki.domain import Phase, TrainingSet
from tsugiki.errors import Cancelled
from tsugiki.runtime.engines.making import Cores, make
from tsugiki.runtime.trainable import TrainableBackbone

TOPICS = {
    "billing": "money refund pay charge price bill account",
    "delivery": "parcel late arrive address order lost delivery",
    "access": "password login reset change phone account new",
}
FILLING = "the a i my is was to of in it for please help"


def trainable(tiny: Loaded) -> TrainableBackbone:
    return TrainableBackbone(tiny, partial(make, "onnxruntime", cores=Cores(1, 1)))


def texts_of(counts: list[int], seed: int = 0) -> tuple[list[str], list[int]]:
    """`counts[k]` texts of topic k, of three to twelve words, one in three of them the topic's; and their targets."""
    random = np.random.default_rng(seed)
    topics = list(TOPICS.values())
    targets: list[int] = random.permutation(np.repeat(np.arange(len(counts)), counts)).tolist()
    texts: list[str] = []
    for target in targets:
        words = random.choice(FILLING.split(), size=int(random.integers(2, 9)))
        own = random.choice(topics[target].split(), size=1 + len(words) // 3)
        texts.append(" ".join(random.permutation(np.concatenate([words, own])).tolist()))
    return texts, targets


def training_set(backbone: TrainableBackbone, counts: list[int], seed: int = 0) -> TrainingSet:
    """As an adaptation would hand it over."""
    texts, targets = texts_of(counts, seed)
    rows = backbone.prepare(texts)
    return TrainingSet(
        feature_space=backbone.space.id,
        features=backbone.features(rows, None, lambda: None),
        targets=np.array(targets, np.int64),
        folds=assign_folds(np.array(targets, np.int64), texts, seed),
        labels=tuple(sorted(TOPICS))[: len(counts)],
        seed=seed,
        rows=rows,
    )


@dataclass(slots=True)
class Told:
    """Progress that remembers; something else happens at each check, and after `patience` of them it cancels."""

    phases: list[tuple[Phase, float]] = field(default_factory=list[tuple[Phase, float]])
    patience: int = 1_000_000
    checks: int = 0
    at_check: Callable[[], None] = lambda: None

    def phase(self, phase: Phase, fraction: float) -> None:
        self.phases.append((phase, fraction))

    def metric(self, name: str, value: float) -> None: ...

    def check(self) -> None:
        self.checks += 1
        self.at_check()
        if self.checks > self.patience:
            raise Cancelled("stopped by the test")
