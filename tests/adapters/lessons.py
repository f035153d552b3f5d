"""Texts, pictures and sounds to train tiny backbones on for real, by the engine that would serve them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from PIL import Image

from tests.folders import picture, png, wav
from tsugiki.backbones import Loaded
from tsugiki.data.folds import assign_folds, number_groups
from tsugiki.data.text import fingerprint
from tsugiki.domain import Content, Modality, Phase, TrainingSet
from tsugiki.errors import Cancelled
from tsugiki.runtime.engines.making import Cores, make
from tsugiki.runtime.trainable import TrainableBackbone

TOPICS = {
    "billing": "money refund pay charge price bill account",
    "delivery": "parcel late arrive address order lost delivery",
    "access": "password login reset change phone account new",
}
FILLING = "the a i my is was to of in it for please help"
LABELS = tuple(sorted(TOPICS))
SIDE, SECONDS, RATE = 48, 0.2, 16_000  # of pictures and sounds
TINT = 0.35  # of a picture, towards its label's colour


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


def contents_of(modality: Modality, counts: list[int], seed: int = 0) -> tuple[list[Content], list[int]]:
    """`counts[k]` inputs of label k, and their targets: texts, pictures of a tint, tones of a pitch amid noise."""
    if modality == "text":
        texts, targets = texts_of(counts, seed)
        return list(texts), targets
    random = np.random.default_rng(seed)
    targets = random.permutation(np.repeat(np.arange(len(counts)), counts)).tolist()
    make = _picture if modality == "image" else _sound
    return [make(target, random) for target in targets], targets


def _picture(target: int, random: np.random.Generator) -> bytes:
    pixels = np.asarray(picture(SIDE, SIDE, int(random.integers(1 << 30))), np.float64)
    colour = 255.0 * np.eye(3)[target]
    return png(Image.fromarray((pixels + TINT * (colour - pixels)).astype(np.uint8)))


def _sound(target: int, random: np.random.Generator) -> bytes:
    at = np.arange(round(SECONDS * RATE)) / RATE
    pitch = 200.0 * 3.0**target * random.uniform(0.8, 1.25)
    heard = 0.2 * np.sin(2 * np.pi * pitch * at + random.uniform(0, 6)) + random.normal(0, 0.05, len(at))
    return wav(heard.astype(np.float32))


def training_set(backbone: TrainableBackbone, counts: list[int], seed: int = 0, *, named: bool = False) -> TrainingSet:
    """As an adaptation would hand it over; `named` by the words of the topics, for texts."""
    contents, targets = contents_of(backbone.modality, counts, seed)
    rows = backbone.prepare(contents)
    prints = [fingerprint(content) for content in contents]
    return TrainingSet(
        feature_space=backbone.space.id,
        features=backbone.features(rows, None, lambda: None),
        targets=np.array(targets, np.int64),
        folds=assign_folds(np.array(targets, np.int64), prints, seed),
        groups=number_groups(prints),
        labels=LABELS[: len(counts)],
        seed=seed,
        rows=rows,
        name_rows=[backbone.prepare([words]) for words in list(TOPICS.values())[: len(counts)]] if named else (),
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
