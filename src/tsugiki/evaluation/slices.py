"""Where a version is weaker: its accuracy on each part of the samples that metadata sets apart, the worst named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.domain import Json
from tsugiki.evaluation.intervals import Z95, newcombe
from tsugiki.evaluation.shares import share

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_ROWS = 20  # of a slice, and of the rest: below, its interval spans some 35 points
MOST_VALUES = 50  # of a key: with more it tells samples apart, not groups of them
MOST_SLICES = 200  # told, the worst first


def by_slice(correct: NDArray[np.bool_], facets: Sequence[Mapping[str, str]]) -> Json:
    """`correct` (rows,) and each row's metadata -> `{"compared", "worst", "data"}`, the worst slice first.

    `difference` is the slice's accuracy minus that of all other rows. The worst is `shown` to be worse where the
    difference is below 0 with 95 % confidence for all slices together (Bonferroni): of a hundred slices looked at, five
    seem worse or better by mere chance. None is named where no slice is below the rest.
    """
    found = [_slice(key, value, rows, correct) for key, value, rows in _slices(facets)]
    data = [one for one in found if one is not None]
    data.sort(key=lambda one: (one["difference"]["value"], one["key"], one["value"]))
    worst = data[0] if data and data[0]["difference"]["value"] < 0.0 else None
    if worst is not None:
        strict = NormalDist().inv_cdf(1.0 - 0.025 / len(data))
        worst = {**worst, "shown": _difference(worst, correct, strict)[1] < 0.0}
    return {"compared": len(data), "worst": worst, "data": data[:MOST_SLICES]}


def _slices(facets: Sequence[Mapping[str, str]]) -> list[tuple[str, str, list[int]]]:
    """Key, value and rows of every slice of the keys that have few values."""
    rows: dict[str, dict[str, list[int]]] = {}
    for row, facet in enumerate(facets):
        for key, value in facet.items():
            rows.setdefault(key, {}).setdefault(value, []).append(row)
    few = {key: values for key, values in rows.items() if len(values) <= MOST_VALUES}
    return [(key, value, members) for key, values in few.items() for value, members in values.items()]


def _slice(key: str, value: str, rows: list[int], correct: NDArray[np.bool_]) -> Json | None:
    if min(len(rows), len(correct) - len(rows)) < FEWEST_ROWS:
        return None
    hits = int(correct[rows].sum())
    found: Json = {
        "key": key,
        "value": value,
        "rows": len(rows),
        "hits": hits,
        "accuracy": share(hits, len(rows)),
    }
    rest = (int(correct.sum()) - hits) / (len(correct) - len(rows))
    found["difference"] = {"value": hits / len(rows) - rest, "ci95": list(_difference(found, correct, Z95))}
    return found


def _difference(of: Json, correct: NDArray[np.bool_], z: float) -> tuple[float, float]:
    hits, rows = of["hits"], of["rows"]
    interval = newcombe(hits, rows, int(correct.sum()) - hits, len(correct) - rows, z)
    return interval.low, interval.high
