"""The fast lane's gate: a refit on newer samples goes live unless it is shown to be worse.

The burden of proof lies with the refusal. A candidate of the same method has seen more, or corrected, samples than
the live version; holding it back needs evidence, by paired answers on the same held-out rows: either the whole 95 %
interval of the difference is below zero, or one class has collapsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.domain import GateDecision, Json
from tsugiki.evaluation.intervals import Interval, newcombe_paired

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Ints

FEWEST_ROWS = 30  # below this the interval spans some 25 points, and nothing could ever be refused
FEWEST_CLASS_ROWS = 20  # below this a recall moves five points by a single row
WORST_CLASS_LOSS = 0.10  # of a class's recall: more is a collapse that the mean would hide


def compare(
    candidate_correct: NDArray[np.bool_],
    live_correct: NDArray[np.bool_] | None,
    targets: Ints,
    labels: Sequence[str],
) -> GateDecision:
    """Each answer's correctness on the same held-out rows (rows,), of classes `targets` (rows,) in `labels`.

    `live_correct` is None where nothing is live. `per_class` lists classes that occur, the greatest loss first.
    """
    if live_correct is None:
        return GateDecision(True, "first version: nothing is live to compare with")
    rows = len(targets)
    if rows == 0:
        return GateDecision(True, "too few rows to compare: none was answered by both versions")
    interval = _difference(candidate_correct, live_correct)
    difference = float(candidate_correct.mean() - live_correct.mean())
    per_class = _per_class(candidate_correct, live_correct, targets, labels)
    collapsed = next((c for c in per_class if _is_collapsed(c)), None)
    measured = f"{100 * difference:+.1f} points on {rows} rows, 95 % interval {_points(interval.low, interval.high)}"
    if rows < FEWEST_ROWS:
        promoted, reason = True, f"too few rows to compare: {rows} of the {FEWEST_ROWS} needed; {measured}"
    elif interval.high < 0.0:
        promoted, reason = False, f"worse than the live version: {measured}"
    elif collapsed is not None:
        points = -100 * collapsed["difference"]
        promoted, reason = False, f"recall of {collapsed['label']!r} falls by {points:.0f} points; overall {measured}"
    else:
        promoted, reason = True, f"not shown to be worse than the live version: {measured}"
    return GateDecision(promoted, reason, difference, (interval.low, interval.high), tuple(per_class))


def _difference(candidate: NDArray[np.bool_], live: NDArray[np.bool_]) -> Interval:
    both = int((candidate & live).sum())
    gained = int((candidate & ~live).sum())
    lost = int((~candidate & live).sum())
    return newcombe_paired(both, gained, lost, len(live) - both - gained - lost)


def _per_class(
    candidate: NDArray[np.bool_], live: NDArray[np.bool_], targets: Ints, labels: Sequence[str]
) -> list[Json]:
    found: list[Json] = []
    for target in np.unique(targets).tolist():
        rows = targets == target
        recall, before = float(candidate[rows].mean()), float(live[rows].mean())
        found.append(
            {
                "label": labels[target],
                "support": int(rows.sum()),
                "recall": recall,
                "live_recall": before,
                "difference": recall - before,
                "ci95": list(_difference(candidate[rows], live[rows])),
            }
        )
    return sorted(found, key=lambda c: c["difference"])


def _is_collapsed(found: Json) -> bool:
    """Lost more than allowed, and shown: among many classes one of twenty rows loses three of them by mere chance."""
    return found["support"] >= FEWEST_CLASS_ROWS and found["difference"] < -WORST_CLASS_LOSS and found["ci95"][1] < 0.0


def _points(low: float, high: float) -> str:
    return f"{100 * low:+.1f} to {100 * high:+.1f}"
