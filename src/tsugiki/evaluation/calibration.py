"""Does a score of 0.8 mean right in 80 of 100? Expected calibration error and the bins behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsugiki.evaluation.intervals import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats

BINS = 15  # equal in width, as Guo et al. 2017 and most who quote an ECE


class Bin(NamedTuple):
    """Scores in (low, high]; `score` and `accuracy` are means over its `rows`, 0 in an empty bin.

    `ci95` is of the accuracy, as if its rows were independent.
    """

    low: float
    high: float
    rows: int
    score: float
    accuracy: float
    ci95: tuple[float, float]


def bin_of(scores: Floats) -> NDArray[np.int64]:
    """The bin (rows,) of each score in [0, 1]."""
    return np.clip(np.ceil(scores * BINS).astype(np.int64) - 1, 0, BINS - 1)


def reliability(scores: Floats, correct: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """All bins from low to high; `scores` and `correct` (rows,)."""
    bins = bin_of(scores)
    rows = np.bincount(bins, minlength=BINS)
    score = np.bincount(bins, scores, BINS) / np.maximum(rows, 1)
    hits = np.bincount(bins[correct], minlength=BINS)
    edges = np.linspace(0.0, 1.0, BINS + 1)
    columns = zip(edges[:-1], edges[1:], rows.tolist(), score, hits.tolist(), strict=True)
    return tuple(Bin(float(a), float(b), n, float(s), hit / max(n, 1), wilson(hit, n)) for a, b, n, s, hit in columns)


def expected_calibration_error(scores: Floats, correct: NDArray[np.bool_]) -> float:
    """Mean over rows of the distance between a bin's mean score and its accuracy."""
    gaps = np.bincount(bin_of(scores), scores.astype(np.float64) - correct, BINS)
    return float(np.abs(gaps).sum() / len(scores))


def resampled_errors(scores: Floats, correct: NDArray[np.bool_], counts: NDArray[np.float32]) -> NDArray[np.float64]:
    """The error in each bootstrap sample: `counts` (draws, rows) -> (draws,)."""
    gaps = np.zeros((len(scores), BINS), np.float32)
    gaps[np.arange(len(scores)), bin_of(scores)] = scores - correct
    return np.abs(counts @ gaps).sum(axis=1).astype(np.float64) / counts.sum(axis=1)
