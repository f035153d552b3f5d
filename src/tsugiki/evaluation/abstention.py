"""What a threshold on the score buys: fewer answers, more of them right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tsugiki.domain import Json
from tsugiki.evaluation.intervals import Interval, wilson, wilson_low

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats

CURVE_POINTS = 50  # of the risk-coverage curve: enough to draw it
ALWAYS = 2.0  # above every score
TARGET_PRECISIONS = (0.8, 0.9, 0.95, 0.99)
UNREACHED: Final[Json] = {"threshold": None, "coverage": 0.0, "accuracy": None, "ci95": None}


@dataclass(frozen=True, slots=True)
class Kept:
    """The rows with a score of `threshold` or more: their part of all rows, and how many of them are right."""

    threshold: float
    coverage: float
    accuracy: float
    ci95: Interval


def risk_coverage(scores: Floats, correct: NDArray[np.bool_]) -> tuple[Kept, ...]:
    """At most CURVE_POINTS places from few rows kept to all (El-Yaniv & Wiener 2010)."""
    cuts = _cuts(scores, correct)
    places = np.unique(np.linspace(0, len(cuts.kept) - 1, CURVE_POINTS).round().astype(np.int64))
    return tuple(_kept(cuts, int(place), len(scores)) for place in places)


def threshold_for(precision: float, scores: Floats, correct: NDArray[np.bool_]) -> Kept | None:
    """The lowest threshold whose kept rows reach `precision` by the lower end of their 95 % interval; else None.

    The lower end, since the threshold is picked among many by the very rows that judge it: by the mere share, luck
    would pass for precision. So a precision of 0.95 needs at least 73 rows, all of them right.
    """
    cuts = _cuts(scores, correct)
    reached = np.flatnonzero(wilson_low(cuts.hits, cuts.kept) >= precision)
    return _kept(cuts, int(reached[-1]), len(scores)) if len(reached) else None


def abstain_below(precision: float, report: Json) -> float:
    """The lowest score above which held-out rows were shown to keep the precision asked for; ALWAYS if none was.

    `report` is a version's evaluation: of TARGET_PRECISIONS it tells the lowest there is, of others the curve's points.
    Shown means: the lower end of the 95 % interval reaches it. The mere share of a few lucky rows promises nothing.
    """
    told = [*report["risk_coverage"], *(one for one in report["thresholds"] if one["threshold"] is not None)]
    return min((point["threshold"] for point in told if point["ci95"][0] >= precision), default=ALWAYS)


def told_curve(scores: Floats, correct: NDArray[np.bool_]) -> list[Json]:
    """The risk-coverage curve as an evaluation tells it."""
    return [_told(kept) for kept in risk_coverage(scores, correct)]


def told_thresholds(scores: Floats, correct: NDArray[np.bool_]) -> list[Json]:
    """Of each of TARGET_PRECISIONS the threshold that reaches it, null where none does."""
    found = ((precision, threshold_for(precision, scores, correct)) for precision in TARGET_PRECISIONS)
    return [{"precision": precision, **(_told(kept) if kept else UNREACHED)} for precision, kept in found]


@dataclass(frozen=True, slots=True)
class _Cuts:
    """One entry for each distinct score, from the highest: the rows kept down to it, and the right ones of them."""

    threshold: Floats
    kept: NDArray[np.int64]
    hits: NDArray[np.int64]


def _told(kept: Kept) -> Json:
    return {
        "threshold": kept.threshold,
        "coverage": kept.coverage,
        "accuracy": kept.accuracy,
        "ci95": list(kept.ci95),
    }


def _cuts(scores: Floats, correct: NDArray[np.bool_]) -> _Cuts:
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_ties = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    return _Cuts(ranked[last_of_ties], last_of_ties + 1, np.cumsum(correct[order], dtype=np.int64)[last_of_ties])


def _kept(cuts: _Cuts, place: int, rows: int) -> Kept:
    kept, hits = int(cuts.kept[place]), int(cuts.hits[place])
    return Kept(float(cuts.threshold[place]), kept / rows, hits / kept, wilson(hits, kept))
