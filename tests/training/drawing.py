"""Synthetic features: one direction a class, on the unit sphere, as sentence vectors lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.folds import assign_folds
from tsugiki.training import Effort, FittedHead, fit_head
from tsugiki.training.effort import FINE

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints

WHOLE = Effort(every_fold=True, strengths=FINE, seconds=0.0)


@dataclass(frozen=True, slots=True)
class Drawn:
    features: Floats
    targets: Ints
    folds: Ints

    @property
    def classes(self) -> int:
        return int(self.targets.max()) + 1


def draw(counts: list[int], dim: int = 24, noise: float = 0.25, seed: int = 0) -> Drawn:
    """`counts[k]` rows of class k, in mixed order; noise is a standard deviation per dimension of a unit centre."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((len(counts), dim))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    targets = random.permutation(np.repeat(np.arange(len(counts)), counts))
    features = centres[targets] + noise * random.standard_normal((len(targets), dim))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    folds = assign_folds(targets, [str(i) for i in range(len(targets))], seed)
    return Drawn(features.astype(np.float32), targets, folds)


def fit(drawn: Drawn, effort: Effort = WHOLE) -> FittedHead:
    return fit_head(
        drawn.features, drawn.targets, drawn.folds, drawn.classes, effort, lambda stage, part: None, lambda: None
    )
