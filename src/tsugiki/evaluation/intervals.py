"""95 % intervals: Wilson for a share, the bootstrap for everything else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Z95 = 1.959964  # 97.5 % quantile of the normal distribution
DRAWS = 500  # the ends of a 95 % interval then wobble by a tenth of its width (Efron & Tibshirani 1993, ch. 13)
CHUNK_PICKS = 1 << 21  # 16 MiB of row numbers at a time
PERCENTILES = (2.5, 97.5)


class Interval(NamedTuple):
    low: float
    high: float


def wilson(hits: int, trials: int, z: float = Z95) -> Interval:
    """For `hits` of `trials` independent rows (Wilson 1927); (0, 1) without rows."""
    if trials == 0:
        return Interval(0.0, 1.0)
    low, high = _wilson(hits / trials, float(trials), z)
    return Interval(max(0.0, low), min(1.0, high))


def wilson_low(hits: NDArray[np.int64], trials: NDArray[np.int64]) -> NDArray[np.float64]:
    """The lower ends of many shares' intervals, each of at least one row."""
    return _wilson(hits / trials, trials.astype(np.float64), Z95)[0]


def _wilson(share: Any, trials: Any, z: float) -> tuple[Any, Any]:  # Any: a number, or an array of them
    weight = z**2 / trials
    middle = (share + weight / 2.0) / (1.0 + weight)
    half = z * (share * (1.0 - share) / trials + z**2 / (4.0 * trials**2)) ** 0.5 / (1.0 + weight)
    return middle - half, middle + half


def wilson_f1(hits: int, either: int) -> Interval:
    """For the F1 of one label: `hits` of the rows that have it or were answered it, `either`.

    With s that share, F1 = 2 s / (1 + s), which grows with s: Wilson's ends stay ends (Hand, Christen & Kirielle 2021).
    """
    low, high = wilson(hits, either)
    return Interval(2.0 * low / (1.0 + low), 2.0 * high / (1.0 + high))


def newcombe(hits: int, trials: int, other_hits: int, other_trials: int, z: float = Z95) -> Interval:
    """For the difference of two shares of different rows, first minus second (Newcombe 1998b, method 10)."""
    first, second = wilson(hits, trials, z), wilson(other_hits, other_trials, z)
    share, other = hits / trials, other_hits / other_trials
    below = ((share - first.low) ** 2 + (second.high - other) ** 2) ** 0.5
    above = ((first.high - share) ** 2 + (other - second.low) ** 2) ** 0.5
    return Interval(share - other - below, share - other + above)


def newcombe_paired(both: int, first_only: int, second_only: int, neither: int) -> Interval:
    """For the difference of two shares on the same rows, first minus second (Newcombe 1998, method 10).

    The counts are of rows right in both, in the first only, in the second only, in neither; at least one row.
    """
    rows = both + first_only + second_only + neither
    first, second = wilson(both + first_only, rows), wilson(both + second_only, rows)
    share_first, share_second = (both + first_only) / rows, (both + second_only) / rows
    agreement = _phi(both, first_only, second_only, neither)
    down, up = share_first - first.low, first.high - share_first
    down_second, up_second = share_second - second.low, second.high - share_second
    difference = share_first - share_second
    below = (down**2 - 2.0 * agreement * down * up_second + up_second**2) ** 0.5
    above = (up**2 - 2.0 * agreement * up * down_second + down_second**2) ** 0.5
    return Interval(max(-1.0, difference - below), min(1.0, difference + above))


def sign_test(lost: int, gained: int) -> float:
    """The chance of losing at least so many of the rows that changed if each went either way alike.

    McNemar's exact test, one-sided (McNemar 1947). `8, 1 -> 0.02`; 1 where nothing changed.
    """
    changed = lost + gained
    ways = math.lgamma(changed + 1) - changed * math.log(2.0)
    terms = (ways - math.lgamma(k + 1) - math.lgamma(changed - k + 1) for k in range(lost, changed + 1))
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def percentile(value: float, draws: NDArray[np.float64], most: float = math.inf) -> Interval:
    """The middle 95 % of bootstrap `draws` (draws,), shifted to have their mean at `value`; within 0 and `most`.

    The shift takes away the bootstrap's own bias: a sample with repeats looks worse calibrated than its rows are,
    and without it the ECE found would lie at the end of its interval (Efron & Tibshirani 1993, section 10.2).
    """
    low, high = np.percentile(draws, PERCENTILES) - draws.mean() + value
    return Interval(max(0.0, float(low)), min(most, float(high)))


def resamples(rows: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """How often each row is drawn in each of DRAWS bootstrap samples, a few samples (draws, rows) at a time."""
    random = np.random.default_rng(seed)
    batch = max(1, CHUNK_PICKS // rows)
    for start in range(0, DRAWS, batch):
        draws = min(batch, DRAWS - start)
        picks = random.integers(rows, size=(draws, rows), dtype=np.int64)
        picks += np.arange(draws)[:, None] * rows
        yield np.bincount(picks.ravel(), minlength=draws * rows).reshape(draws, rows).astype(np.float32)


def _phi(both: int, first_only: int, second_only: int, neither: int) -> float:
    """Correlation of the two answers, with Newcombe's correction for continuity."""
    margins = (both + first_only) * (second_only + neither) * (both + second_only) * (first_only + neither)
    if margins == 0:
        return 0.0
    product = both * neither - first_only * second_only
    if product > 0:
        product = max(product - (both + first_only + second_only + neither) / 2.0, 0.0)
    return product / margins**0.5
