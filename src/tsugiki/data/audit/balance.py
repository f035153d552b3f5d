"""Labels that have too few samples beside the others, or too few different ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.audit.clusters import components
from tsugiki.data.audit.finding import Finding

if TYPE_CHECKING:
    from tsugiki.data.audit.neighbours import Neighbours
    from tsugiki.domain import Ints

RARE_PART = 0.1  # of an equal share of the rows; cleanlab's Datalab warns at the same
THIN_PART = (
    0.5  # of a label's rows are different ones; so few in 1 to 2 % of clinc150's labels, the most repetitive set
)
FEWEST_ROWS = 5  # of a label, before its diversity is judged
MOST_EVIDENCE = 10


def balance(targets: Ints, labels: int, near: Neighbours) -> Iterator[Finding]:
    counts = np.bincount(targets, minlength=labels)
    share = len(targets) / max(labels, 1)
    for label in np.flatnonzero(counts < RARE_PART * share).tolist():
        yield Finding("label_rare", label=label, detail=f"{counts[label]} samples, where an equal share is {share:.0f}")
    pairs = near.alike()
    within = pairs[targets[pairs[:, 0]] == targets[pairs[:, 1]]]
    first = components(len(targets), within)
    different = np.bincount(targets[np.unique(first)], minlength=labels)
    for label in np.flatnonzero((counts >= FEWEST_ROWS) & (different < THIN_PART * counts)).tolist():
        mine = np.flatnonzero(targets == label)
        retold = mine[first[mine] != mine]
        yield Finding(
            "label_thin",
            label=label,
            evidence=tuple(retold[:MOST_EVIDENCE].tolist()),
            score=round(1 - float(different[label] / counts[label]), 4),
            detail=f"{counts[label]} samples, {different[label]} different ones",
        )
