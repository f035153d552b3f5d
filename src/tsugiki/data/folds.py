"""Folds for held-out evaluation: stratified by class, never separating a group, and from a thousand on with one frozen.

The frozen holdout is fold HOLDOUT. A group is in it by its own hash: whatever is added, deleted, relabelled or seeded
anew, a row stays on its side, so that two versions months apart, of whatever methods, are judged on the same rows. For
a method that cross-fits it is a fold like any other, so that a head still learns from all rows; a method that trains
once leaves it out, and has its answers there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Ints

MAX_FOLDS = 5  # Kohavi 1995: beyond five to ten the estimate hardly improves, and each fold costs a fit
FEWEST_FOLDS = 2
RARE_PART = 0.1  # of the groups may belong to classes too small to be in every fold
HOLDOUT = 0
HOLDOUT_PART = 1 / MAX_FOLDS  # by chance, so cross-fitting costs and yields what it did
# The holdout then has some 200 rows, on which a gain of 5 points is shown where a tenth of the answers differ; with
# fewer nothing short of a miracle would be, and cross-fitting every row is the better evidence.
ENOUGH_GROUPS = 1_000
HASH_BITS = 64


def assign_folds(targets: Ints, groups: Sequence[str], seed: int, max_folds: int = MAX_FOLDS) -> Ints:
    """The fold (rows,) in which each row is held out, counted from 0.

    Groups are dealt out class by class, so a fold holds each class's share to within one group, whatever the order
    of the rows; the frozen holdout holds it as nearly as chance does. There are as many folds as all classes but the
    rarest can fill (`RARE_PART`): 2 where there are two samples a class, and still 5 where one class of hundred has
    two. A class in fewer groups than folds is missing from some folds; a class of a single group is missing from what
    its own fold trains on.
    """
    names, group_of_row = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    classes = _group_classes(targets, group_of_row)
    sizes = np.sort(np.bincount(classes)[classes])
    folds = int(np.clip(sizes[int(RARE_PART * len(sizes))], FEWEST_FOLDS, max_folds))
    frozen = _frozen(names, classes) if has_holdout(names) else np.zeros(len(names), np.bool_)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    dealt = np.full(len(names), HOLDOUT, np.int64)
    rest = by_class[~frozen[by_class]]
    if frozen.any():
        dealt[rest] = 1 + np.arange(len(rest)) % max(folds - 1, FEWEST_FOLDS)
    else:
        dealt[rest] = np.arange(len(rest)) % folds
    return dealt[group_of_row]


def number_groups(groups: Sequence[str]) -> Ints:
    """Of each row (rows,) a number that only the rows of its group have."""
    return np.unique(np.asarray(groups, np.str_), return_inverse=True)[1].astype(np.int64)


def split_in_half(groups: Ints) -> Ints:
    """The half, 0 or 1, of each row (rows,), where halves are to judge each other: no group is in both.

    By turns, so that whatever order the rows are in, both halves are alike; a group goes to the one that has fewer
    rows. Only where all rows are of one group is it parted, as there must be two.
    """
    _, first, group_of_row, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    half_of_group = np.zeros(len(sizes), np.int64)
    rows_in = [0, 0]
    for group in np.argsort(first).tolist():
        half = int(rows_in[1] < rows_in[0])
        half_of_group[group] = half
        rows_in[half] += int(sizes[group])
    return half_of_group[group_of_row] if half_of_group.any() else np.arange(len(groups)) % 2


def has_holdout(groups: Iterable[str]) -> bool:
    """Whether fold HOLDOUT of these rows' folds is the frozen one."""
    return len(set(groups)) >= ENOUGH_GROUPS


def _frozen(names: NDArray[np.str_], classes: Ints) -> NDArray[np.bool_]:
    """Which groups are in the holdout. A class that has no other group gives its own back: it must be learned."""
    frozen = np.array([_chance(name) < HOLDOUT_PART for name in names.tolist()], np.bool_)
    others = np.bincount(classes[~frozen], minlength=int(classes.max()) + 1)
    return frozen & (others[classes] > 0)


def _chance(group: str) -> float:
    """Uniform in [0, 1), of the group alone."""
    digest = hashlib.sha256(b"holdout\0" + group.encode()).digest()
    return int.from_bytes(digest[: HASH_BITS // 8]) / 2.0**HASH_BITS


def _group_classes(targets: Ints, group_of_row: Ints) -> Ints:
    """The commonest class of each group, (groups,); the lowest of equals. Contradicting labels share a group."""
    pairs, counts = np.unique(np.stack([group_of_row, targets], axis=1), axis=0, return_counts=True)
    order = np.lexsort((pairs[:, 1], -counts, pairs[:, 0]))
    _, first = np.unique(pairs[order, 0], return_index=True)
    return pairs[order[first], 1]
