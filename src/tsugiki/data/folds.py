"""Folds for held-out evaluation: stratified by class, and never separating rows of one group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tsugiki.domain import Ints

MAX_FOLDS = 5  # Kohavi 1995: beyond five to ten the estimate hardly improves, and each fold costs a fit
FEWEST_FOLDS = 2
RARE_PART = 0.1  # of the groups may belong to classes too small to be in every fold


def assign_folds(targets: Ints, groups: Sequence[str], seed: int, max_folds: int = MAX_FOLDS) -> Ints:
    """The fold (rows,) in which each row is held out, counted from 0.

    Groups are dealt out class by class, so a fold holds each class's share to within one group, whatever the order
    of the rows. There are as many folds as all classes but the rarest can fill (`RARE_PART`): 2 where there are two
    samples a class, and still 5 where one class of hundred has two. A class in fewer groups than folds is missing
    from some folds; a class of a single group is missing from what its own fold trains on.
    """
    names, group_of_row = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    classes = _group_classes(targets, group_of_row)
    sizes = np.sort(np.bincount(classes)[classes])
    folds = int(np.clip(sizes[int(RARE_PART * len(sizes))], FEWEST_FOLDS, max_folds))
    shuffled = np.random.default_rng(seed).permutation(len(names))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    dealt = np.empty(len(names), np.int64)
    dealt[by_class] = np.arange(len(names)) % folds
    return dealt[group_of_row]


def _group_classes(targets: Ints, group_of_row: Ints) -> Ints:
    """The commonest class of each group, (groups,); the lowest of equals. Contradicting labels share a group."""
    pairs, counts = np.unique(np.stack([group_of_row, targets], axis=1), axis=0, return_counts=True)
    order = np.lexsort((pairs[:, 1], -counts, pairs[:, 0]))
    _, first = np.unique(pairs[order, 0], return_index=True)
    return pairs[order[first], 1]
