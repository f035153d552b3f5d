"""Synthetic features: one direction a class, on the unit sphere, as sentence vectors lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.folds import assign_folds
from tsugiki.training.effort import FINE, Effort
from tsugiki.training.fit import FittedHead, fit_head

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats, Ints

WHOLE = Effort(every_fold=True, strengths=FINE, seconds=0.0)


@dataclass(frozen=True, slots=True)
class Drawn:
    features: Floats
    targets: Ints
    folds: Ints

    @property
    def groups(self) -> Ints:
        """Each row is one."""
        return np.arange(len(self.targets))

    @property
    def classes(self) -> int:
        return int(self.targets.max()) + 1


def draw(counts: list[int], dim: int = 24, noise: float = 0.25, seed: int = 0) -> Drawn:
    """`counts[k]` rows of class k, in mixed order; noise is a standard deviation per dimension of a unit centre."""
    random = np.random.default_rng(seed)
    centres = _centres(random, len(counts), dim)
    targets = random.permutation(np.repeat(np.arange(len(counts)), counts))
    features = centres[targets] + noise * random.standard_normal((len(targets), dim))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    folds = assign_folds(targets, [str(i) for i in range(len(targets))], seed)
    return Drawn(features.astype(np.float32), targets, folds)


def draw_names(classes: int, dim: int = 24, seed: int = 0) -> Floats:
    """Names that say what `draw` of the same seed is about: its directions, (classes, dim)."""
    return _centres(np.random.default_rng(seed), classes, dim).astype(np.float32)


def fit(drawn: Drawn, effort: Effort = WHOLE, names: Floats | None = None) -> FittedHead:
    classes = drawn.classes if names is None else len(names)
    return fit_head(
        drawn.features,
        drawn.targets,
        drawn.folds,
        drawn.groups,
        classes,
        effort,
        lambda stage, part: None,
        lambda: None,
        names,
    )


def _centres(random: np.random.Generator, classes: int, dim: int) -> NDArray[np.float64]:
    centres = random.standard_normal((classes, dim))
    return centres / np.linalg.norm(centres, axis=1, keepdims=True)
