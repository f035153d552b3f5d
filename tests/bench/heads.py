"""Heads of random numbers: as large as real ones, and all that a pass's cost depends on. Needs numpy only."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 0
LARGEST = 77  # classes: as many as banking77 has


class RandomHead(NamedTuple):
    """`weight` (classes, dim), `bias` (classes,), float32; a label a class."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    labels: tuple[str, ...]


def random_head(number: int, dim: int, classes: int | None = None) -> RandomHead:
    """The same of one number everywhere; left out, the number of classes is drawn from 2 to `LARGEST`."""
    random = np.random.default_rng([SEED, number])
    drawn = int(random.integers(2, LARGEST + 1)) if classes is None else classes
    weight = random.standard_normal((drawn, dim), np.float32)
    return RandomHead(weight, np.zeros(drawn, np.float32), tuple(f"label {n:02d}" for n in range(drawn)))
