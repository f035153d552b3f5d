"""Rows that are like no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.audit.finding import Finding

if TYPE_CHECKING:
    from tsugiki.data.audit.neighbours import Neighbours

NEAREST = 5  # 3, 5 and 10 told out-of-scope rows put into four sets about as well (AUROC 0.90 to 0.96), 1 worse
# Of the median likeness. It named 0.1 to 3 % of the rows of clinc150, hwu64 and cr as they are, and 19 to 50 % of
# out-of-scope rows put in; six deviations from the median named none, for likeness has an end below.
PART_OF_MEDIAN = 0.5
FEWEST_ROWS = 20  # below, what is usual cannot be told


def outliers(near: Neighbours) -> Iterator[Finding]:
    """The farthest first. The score is how much of the usual likeness to others is missing, 0.5..1."""
    if len(near.rows) < FEWEST_ROWS:
        return
    likeness = near.cosines[:, :NEAREST].mean(axis=1)
    usual = float(np.median(likeness))
    if usual <= 0:
        return  # no two rows are alike: then none stands out
    for row in np.argsort(likeness, kind="stable").tolist():
        if likeness[row] >= PART_OF_MEDIAN * usual:
            return
        score = float(np.clip(1 - likeness[row] / usual, 0, 1))
        yield Finding("outlier", row, evidence=(int(near.rows[row, 0]),), score=round(score, 4))
