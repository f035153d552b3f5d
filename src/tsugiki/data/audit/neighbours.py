"""The nearest rows of every row, by the cosine of centred features; exact where that is cheap, else by cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.audit.cells import Cell, cells_of
from tsugiki.domain import Modality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats, Ints

NEIGHBOURS = 10  # enough to outvote chance; outliers read the first five
EXACT_ROWS = 5_000  # all pairs of these are a second of one thread; beyond, the squares would rule
BLOCK_ELEMENTS = 1 << 20  # cosines held at once: 4 MiB, and a look at `check` every few milliseconds
LONELY_PART = 0.03  # of the rows, the least like their cells', are compared with all: it is those that a cell fails
MOST_LONELY = 1_000  # of them: some seconds of one thread at 100,000 rows
SHORTEST_PART = 1e-6  # of the longest centred row: what is shorter is rounding, as where all rows are the same
LEAST_LENGTH = 1e-24  # and no longest row is taken for shorter
LARGEST_FEATURE = 1e15  # beyond it float32 squares overflow; the fit refuses such rows


@dataclass(frozen=True, slots=True)
class Likeness:
    """Centred cosines: of rows that are `nearly_same`, a waste or a leak, and of those that only say the same."""

    nearly_same: float
    alike: float


# Texts: pairs above 0.97, on clinc150, hwu64 and cr, differ in a word or two, of one label (all but one of 526); from
# 0.95 down they begin to differ in what decides ("two hours", "one hour"); from 0.9 on they say one thing in other
# words. USE and E5 are alike: above 0.97, on 2,500 rows each of these, banking77 and amazon_cf_ja, 105 pairs are of one
# label but for a text that is there twice, with two; from 0.9 on 97 to 99 % are by all three. Pictures
# (EfficientNet-Lite0): the three pairs of flowers5 above 0.86 are one scene taken twice or worked on, from 0.75 down
# scenes differ; 19 in 20 pictures mirrored or cut by 5 %, and half of those saved at quality 60, keep 0.85. Sounds
# (Whisper): of 300 spoken digits none is nearer to another than 0.90; saved as OGG, or at half the loudness, one keeps
# 0.95.
LIKENESS: Mapping[Modality, Likeness] = {
    "text": Likeness(nearly_same=0.97, alike=0.9),
    "image": Likeness(nearly_same=0.86, alike=0.75),
    "audio": Likeness(nearly_same=0.92, alike=0.88),
}


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Of each row, nearest first: `rows` and `cosines` (n, k), k = min(NEIGHBOURS, n - 1).

    Features are centred before, so that what all rows share does not count as likeness. By cells a neighbour may be
    missed (`exact` is False then), and never one invented.
    """

    rows: Ints
    cosines: Floats
    exact: bool
    likeness: Likeness

    def nearly_same(self) -> Ints:
        return self.pairs(self.likeness.nearly_same)

    def alike(self) -> Ints:
        return self.pairs(self.likeness.alike)

    def pairs(self, at_least: float) -> Ints:
        """The pairs of rows (pairs, 2) at least so near, lower row first, each once."""
        near = self.cosines >= at_least
        one = np.repeat(np.arange(len(self.rows)), near.sum(axis=1))
        both = np.stack([one, self.rows[near]], axis=1)
        both.sort(axis=1)
        return np.unique(both, axis=0)


def search(
    features: Floats, modality: Modality = "text", check: Callable[[float], None] = lambda done: None
) -> Neighbours:
    """`features` (n, d); rows that are not finite have no neighbours. `check` hears the part done, raises to stop."""
    rows = _directions(features)
    everything = np.arange(len(rows))
    count = min(NEIGHBOURS, max(len(rows) - 1, 0))
    found = np.zeros((len(rows), count), np.int64)
    cosines = np.zeros((len(rows), count), np.float32)
    exact = len(rows) <= EXACT_ROWS
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        check(min(done / len(rows), 1.0))

    for cell in [Cell(everything, everything)] if exact else cells_of(rows):
        _look(rows, cell, found, cosines, advance)
    if not exact:
        lonely = np.argsort(cosines.mean(axis=1), kind="stable")[: min(int(LONELY_PART * len(rows)), MOST_LONELY)]
        _look(rows, Cell(lonely, everything), found, cosines, advance)
    return Neighbours(found, cosines, exact, LIKENESS[modality])


def _look(rows: Floats, cell: Cell, found: Ints, cosines: Floats, advance: Callable[[int], None]) -> None:
    """Fill in the nearest of each of the cell's rows among its candidates, block by block."""
    count = found.shape[1]
    if count == 0:
        return
    step = max(1, BLOCK_ELEMENTS // len(cell.candidates))
    for start in range(0, len(cell.rows), step):
        asking = cell.rows[start : start + step]
        likeness = rows[asking] @ rows[cell.candidates].T
        likeness[asking[:, None] == cell.candidates[None, :]] = -2.0  # oneself is no neighbour
        best = np.argpartition(likeness, -count, axis=1)[:, -count:]
        values = np.take_along_axis(likeness, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        found[asking] = cell.candidates[np.take_along_axis(best, order, axis=1)]
        cosines[asking] = np.take_along_axis(values, order, axis=1)
        advance(len(asking))


def _directions(features: Floats) -> Floats:
    """Centred rows of length 1, or 0 where a row has no direction."""
    largest = np.maximum(features.max(axis=1, initial=0), -features.min(axis=1, initial=0))
    sound: NDArray[np.bool_] = largest < LARGEST_FEATURE  # NaN is not
    rows = np.where(sound[:, None], features, np.float32(0)).astype(np.float32, copy=False)
    if sound.any():
        rows = np.where(sound[:, None], rows - rows[sound].mean(axis=0), np.float32(0))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    least = SHORTEST_PART * float(lengths.max(initial=LEAST_LENGTH))
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > least)
