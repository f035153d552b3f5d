"""Labels that have too few samples beside the others, or too few different ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


def balance(members: Sequence[Ints], near: Neighbours) -> Iterator[Finding]:
    """`members` are the rows of each label, in order; where a row may have several labels it is in several."""
    counts = [len(mine) for mine in members]
    share = sum(counts) / max(len(counts), 1)
    for label, count in enumerate(counts):
        if count < RARE_PART * share:
            yield Finding("label_rare", label=label, detail=f"{count} samples, where an equal share is {share:.0f}")
    pairs = near.alike()
    for label, mine in enumerate(members):
        if len(mine) < FEWEST_ROWS:
            continue
        inside = np.zeros(len(near.rows), np.bool_)
        inside[mine] = True
        within = pairs[inside[pairs].all(axis=1)]
        first = components(len(mine), np.searchsorted(mine, within))
        retold = mine[first != np.arange(len(mine))]
        different = len(mine) - len(retold)
        if different < THIN_PART * len(mine):
            yield Finding(
                "label_thin",
                label=label,
                evidence=tuple(retold[:MOST_EVIDENCE].tolist()),
                score=round(1 - different / len(mine), 4),
                detail=f"{len(mine)} samples, {different} different ones",
            )
