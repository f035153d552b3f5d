"""Which strength and temperature served the held-out rows best, with a prior worth a few rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.training.effort import USUAL_STRENGTH
from tsugiki.training.temperature import TEMPERATURES, refine

if TYPE_CHECKING:
    from numpy.typing import NDArray

# With few rows every strength explains the held-out ones about equally well, and the best of them is luck. One
# standard deviation of the prior (half a nat, so half a row's surprise) is an order of magnitude of strength, and a
# factor of two of temperature; on draws of 385 rows and more it changed nothing.
STRENGTH_WIDTH = math.log(10.0)
TEMPERATURE_WIDTH = math.log(2.0)
BEYOND_BEST = 1  # strength looked at past the best one; the losses of half orders apart have no ripples


@dataclass(frozen=True, slots=True)
class Choice:
    """`place` is the index of the strength on its grid."""

    place: int
    temperature: float


def choose(losses: NDArray[np.float64], strengths: Sequence[float]) -> Choice:
    """The least of `losses` (strengths visited, temperatures), summed over rows, plus the prior."""
    visited = np.log(np.asarray(strengths[: len(losses)]) / USUAL_STRENGTH) / STRENGTH_WIDTH
    tempered = np.log(np.asarray(TEMPERATURES)) / TEMPERATURE_WIDTH
    total = losses + 0.5 * np.square(visited)[:, None] + 0.5 * np.square(tempered)
    place, best = divmod(int(total.argmin()), total.shape[1])
    return Choice(place, refine(total[place].tolist(), best))


def choose_without(table: NDArray[np.float64], block: int, strengths: Sequence[float]) -> Choice:
    """The choice for one block, by all others: `table` is (strengths visited, temperatures, blocks)."""
    return choose(np.delete(table, block, axis=2).sum(axis=2), strengths)


def is_settled(table: NDArray[np.float64], strengths: Sequence[float]) -> bool:
    """Whether no block's choice, nor that of all together, can be expected among the strengths still to come."""
    places = [choose(table.sum(axis=2), strengths).place]
    places += [choose_without(table, block, strengths).place for block in range(table.shape[2])]
    return max(places) + BEYOND_BEST < len(table)
