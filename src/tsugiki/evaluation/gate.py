"""The gate: whether a candidate may take the live version's place, by one of two rules.

`refit`, for a candidate that costs as much to serve: the burden of proof lies with the refusal. It has seen more, or
corrected, samples; with few of them no interval could ever show that it is not worse, and a rule that asks for it would
keep a project from learning. It goes live unless it is shown to be worse, as a whole or on one label.

`replacement`, for a candidate that costs more or less: the burden lies with the candidate. It goes live if it is shown
to be at most a point worse, and, costing more, did better by half a point as well: a tie goes to the cheaper.

Both refuse what turns a label's meaning round (see `Reversal`): no held-out row speaks for or against that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tsugiki.domain import GateDecision, GateRule, Json, MethodName
from tsugiki.evaluation.intervals import Z95, Interval, newcombe_paired, sign_test

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.evaluation.pairing import Pairs, Reversal

# What serving costs, in order: the shared pass alone, LoRA in it, a network of its own that took less or more to train.
COST: Final[dict[MethodName, int]] = {"zero_shot": 0, "head": 0, "lora": 1, "partial": 2, "full": 3}
MARGIN = 0.01  # a replacement may be worse by so much at the lower end of its 95 % interval
# Of a dearer one: of two equally good versions that differ in a tenth of 2,000 answers, one seems to gain this much one
# time in four.
LEAST_GAIN = 0.005
FEWEST_ROWS = 30  # below this even ten rows lost and none gained are not told from a bad split
WORSE_CHANCE = 0.05  # of a refit as good as the live version to be taken for worse
FEWEST_CLASS_ROWS = 10  # a loss of seven and no gain is then shown; simulated runs with 20 missed classes lost at 10
WORST_CLASS_LOSS = 0.10  # of a class's recall: more is a collapse that the mean would hide
COLLAPSE_CHANCE = 0.01  # for each class; of 259 simulated honest refits of up to 60 classes none met both conditions
FEWEST_REVERSED = 5  # of a label
REVERSED_PART = 0.5  # of the samples of a label: then another meaning than its own has the majority


class Change(NamedTuple):
    """Rows by who was right."""

    both: int
    gained: int
    lost: int
    neither: int

    @property
    def rows(self) -> int:
        return sum(self)

    @property
    def difference(self) -> float:
        return (self.gained - self.lost) / max(self.rows, 1)

    @property
    def ci95(self) -> Interval:
        return newcombe_paired(*self) if self.rows else Interval(-1.0, 1.0)

    @property
    def chance(self) -> float:
        """Of a loss like this one without any cause."""
        return sign_test(self.lost, self.gained)

    def __str__(self) -> str:
        low, high = (f"{100 * end:+.1f}" for end in self.ci95)
        change = f"{self.gained} gained, {self.lost} lost of {self.rows} rows"
        return f"{100 * self.difference:+.1f} points, 95 % interval {low} to {high}; {change}"


class SetChange(NamedTuple):
    """Rows by whose set of labels was nearer, `differences` (rows,) of their F1: candidate minus live."""

    differences: NDArray[np.float64]

    @property
    def rows(self) -> int:
        return len(self.differences)

    @property
    def gained(self) -> int:
        return int((self.differences > 0.0).sum())

    @property
    def lost(self) -> int:
        return int((self.differences < 0.0).sum())

    @property
    def difference(self) -> float:
        return float(self.differences.mean()) if self.rows else 0.0

    @property
    def ci95(self) -> Interval:
        """By the rows' spread beside one row wholly won and one wholly lost: where few rows or none changed, their own
        is nearly zero, whatever others would show (as Agresti & Min 2005 add a pair to counts). It says nothing with
        fewer than FEWEST_ROWS of them.
        """
        if self.rows < FEWEST_ROWS:
            return Interval(-1.0, 1.0)
        spread = np.append(self.differences, (1.0, -1.0))
        half = Z95 * float(spread.std(ddof=1)) / len(spread) ** 0.5
        return Interval(max(-1.0, self.difference - half), min(1.0, self.difference + half))

    @property
    def chance(self) -> float:
        """Of so many rows worse rather than better without any cause."""
        return sign_test(self.lost, self.gained)

    def __str__(self) -> str:
        low, high = (f"{100 * end:+.1f}" for end in self.ci95)
        change = f"{self.gained} better, {self.lost} worse of {self.rows} rows"
        return f"{100 * self.difference:+.1f} points of F1, 95 % interval {low} to {high}; {change}"


def decide(pairs: Pairs | None, method: MethodName, live: MethodName | None) -> GateDecision:
    """`pairs` are of a candidate by `method` and what is live, by method `live`; both None where nothing is.

    `per_class` of the decision lists classes that occur, the greatest loss first.
    """
    if pairs is None or live is None:
        return GateDecision(True, "first version: nothing is live to compare with")
    rule: GateRule = "refit" if COST[method] == COST[live] else "replacement"
    change = _compare(pairs)
    per_class = _per_class(pairs)
    refusal = _reversed(pairs.reversals) or (
        _shown_worse(change) if rule == "refit" else _not_shown(change, COST[method] > COST[live])
    )
    refusal = refusal or _collapsed(per_class, change)
    difference, ci95 = (change.difference, change.ci95) if change.rows else (None, None)
    reason = refusal or _why(rule, change)
    return GateDecision(refusal is None, reason, difference, ci95, tuple(per_class), rule, change.rows)


def _why(rule: GateRule, change: Change | SetChange) -> str:
    if rule == "replacement":
        return f"shown to be as good as the live version or better: {change}"
    if change.rows < FEWEST_ROWS:
        return f"too few rows to compare: {change.rows} of the {FEWEST_ROWS} needed"
    return f"not shown to be worse than the live version: {change}"


def _shown_worse(change: Change | SetChange) -> str | None:
    worse = change.lost > change.gained and change.difference < 0.0
    if change.rows >= FEWEST_ROWS and worse and change.chance < WORSE_CHANCE:
        return f"worse than the live version: {change}"
    return None


def _not_shown(change: Change | SetChange, dearer: bool) -> str | None:
    if change.ci95.low < -MARGIN:
        return f"not shown to be at most {100 * MARGIN:g} point worse than the live version: {change}"
    if dearer and change.difference < LEAST_GAIN:
        return f"no better than the live version, which costs less to serve: {change}"
    return None


def _collapsed(per_class: list[Json], change: Change | SetChange) -> str | None:
    """Lost more than allowed, and shown: among many classes one of twenty rows loses three of them by mere chance."""
    for found in per_class:
        points = -100 * found["difference"]
        if (
            found["support"] >= FEWEST_CLASS_ROWS
            and points > 100 * WORST_CLASS_LOSS
            and found["chance"] < COLLAPSE_CHANCE
        ):
            return f"recall of {found['label']!r} falls by {points:.0f} points; overall {change}"
    return None


def _reversed(reversals: tuple[Reversal, ...]) -> str | None:
    for label in reversals:
        if label.right >= FEWEST_REVERSED and label.moved > REVERSED_PART * label.right:
            return (
                f"{label.moved} of {label.right} samples of {label.label!r} that the live version answered rightly "
                "carry another of its labels now; if that is meant, move the alias to this version"
            )
    return None


def _compare(pairs: Pairs) -> Change | SetChange:
    if pairs.recalls is None:
        return _change(pairs.candidate.astype(np.bool_), pairs.live.astype(np.bool_))
    return SetChange(pairs.candidate.astype(np.float64) - pairs.live.astype(np.float64))


def _change(candidate: NDArray[np.bool_], live: NDArray[np.bool_]) -> Change:
    both, gained, lost = (int(rows.sum()) for rows in (candidate & live, candidate & ~live, ~candidate & live))
    return Change(both, gained, lost, len(live) - both - gained - lost)


def _recalls(pairs: Pairs) -> Iterator[tuple[str, Change]]:
    if pairs.recalls is not None:
        yield from ((one.label, _change(one.candidate, one.live)) for one in pairs.recalls)
        return
    candidate, live = pairs.candidate.astype(np.bool_), pairs.live.astype(np.bool_)
    for target in np.unique(pairs.targets).tolist():
        rows = pairs.targets == target
        yield pairs.labels[target], _change(candidate[rows], live[rows])


def _per_class(pairs: Pairs) -> list[Json]:
    found: list[Json] = []
    for label, change in _recalls(pairs):
        found.append(
            {
                "label": label,
                "support": change.rows,
                "recall": (change.both + change.gained) / change.rows,
                "live_recall": (change.both + change.lost) / change.rows,
                "difference": change.difference,
                "ci95": list(change.ci95),
                "chance": change.chance,
            }
        )
    return sorted(found, key=lambda c: c["difference"])
