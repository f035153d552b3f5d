"""What a head is fitted on: the samples, and beside them what the labels' own names say.

A name counts as samples of its label that no fold ever holds out: as one, or as many as the label lacks. So a label
with one sample, or none, has something to be known by, and with more samples the name fades by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.training.softmax import Problem, pose

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints

# Samples that a name is worth at least. 1/2, 1 and 2 served draws of 1 to 20 rows a class of banking77, clinc150 and
# hwu64 alike (within half a point); whether names are worth anything is asked of held-out rows (see blending.py).
NAME_WEIGHT = 1.0
# Of which held-out rows choose. With 4 beside 1, over ten draws of 8 rows a class: cr +0.8 points, ag_news +0.4, sst5
# +0.1, amazon_cf_en (Matthews) -0.8; with 2 and 8 besides, within 0.2 of that.
NAME_WEIGHTS = (0.0, NAME_WEIGHT, 4.0)
# A name stands in for the samples that its label lacks of the median label's count, up to this. On the same sets with 8
# labels left without samples and 8 with one, beside 10 of each other: 44 % of the former are found, and 20 to 24 % if
# their names weigh 1; beside 20 of each, 39 and 13 %. The others keep their recall within half a point.
MOST_STOOD_IN = 20.0


@dataclass(frozen=True, slots=True)
class Examples:
    """`rows` (rows, axes + 1) as `Rotation.apply` gives them, `targets` (rows,) below `classes`.

    `names` (classes, axes + 1) are the same of what each class is called; None where there are none. With `truths`
    (kinds, classes) the targets index these, and a row may be of several classes; names are not heard then.
    """

    rows: Floats
    targets: Ints
    classes: int
    names: Floats | None = None
    truths: Floats | None = None

    def pose(self, train: Ints | slice, shares: Floats, name_weight: float, check: Callable[[], None]) -> Problem:
        """The problem of models that train on their `shares` (models, train) of the rows `train`, and on the names."""
        rows, targets = self.rows[train], self.targets[train]
        if self.names is not None and name_weight > 0.0:
            rows = np.concatenate([rows, self.names])
            targets = np.concatenate([targets, np.arange(self.classes)])
            weights = np.broadcast_to(name_weight * self._lacking(), (len(shares), self.classes))
            shares = np.concatenate([shares, weights], axis=1)
        return pose(rows, targets, self.classes, shares, check, self.truths)

    def pose_all(self, name_weight: float, check: Callable[[], None]) -> Problem:
        """The problem of one model that trains on everything."""
        return self.pose(slice(None), np.ones((1, len(self.targets)), np.float32), name_weight, check)

    def _lacking(self) -> Floats:
        """How many samples each class's name stands for, (classes,), at least 1."""
        counts = np.bincount(self.targets, minlength=self.classes)
        usual = min(float(np.median(counts[counts > 0])), MOST_STOOD_IN)
        return np.maximum(usual - counts, 1.0).astype(np.float32)
