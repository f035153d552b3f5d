"""Which rows are nearly the same, and what they mean for the folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.folds import MAX_FOLDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.data.audit.neighbours import Neighbours
    from tsugiki.domain import Ints


def components(rows: int, pairs: Ints) -> Ints:
    """The lowest row (rows,) that each is joined to by pairs (pairs, 2), whatever their order."""
    root = list(range(rows))

    def find(row: int) -> int:
        while root[row] != row:
            root[row] = root[root[row]]
            row = root[row]
        return row

    for one, other in pairs.tolist():
        low, high = sorted((find(one), find(other)))
        root[high] = low
    return np.array([find(row) for row in range(rows)], np.int64)


def fold_groups(groups: Sequence[str], targets: Ints, near: Neighbours) -> list[str]:
    """The groups with near-duplicates joined, so that no fold is judged on what it was trained on.

    Rows are from old to new, and what is joined bears the name of its oldest: a new near-duplicate goes to the side of
    the frozen holdout where the old one is, not the other way.
    Left apart, for the audit to report, are those whose joining would leave a label too few groups to be in every
    fold, or make one group of more than a fold's share of the rows.
    """
    names, group_of_row = np.unique(np.asarray(groups, np.str_), return_inverse=True)
    joined = components(len(names), group_of_row[near.nearly_same()])[group_of_row]
    heavy = np.bincount(joined, minlength=len(names)) > max(len(groups) // MAX_FOLDS, 1)
    apart = heavy[joined] | _starved(group_of_row, joined, targets)[targets]
    split = np.zeros(len(names), np.bool_)
    split[joined[apart]] = True  # all of a component or nothing, also where it spans two labels
    _, oldest, final = np.unique(np.where(split[joined], group_of_row, joined), return_index=True, return_inverse=True)
    rows: list[int] = oldest[final].tolist()
    return [groups[row] for row in rows]


def _starved(before: Ints, after: Ints, targets: Ints) -> NDArray[np.bool_]:
    """Of each label (labels,): would joining leave it fewer groups than folds, and fewer than it has?"""
    labels = int(targets.max(initial=-1)) + 1
    had = _groups_a_label(before, targets, labels)
    has = _groups_a_label(after, targets, labels)
    return (has < MAX_FOLDS) & (has < had)


def _groups_a_label(groups: Ints, targets: Ints, labels: int) -> Ints:
    pairs = np.unique(np.stack([targets, groups], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=labels)
