"""Rows that are the same, or nearly: of one label they are a waste, of two a contradiction, in two folds a leak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.audit.clusters import components
from tsugiki.data.audit.finding import Finding

if TYPE_CHECKING:
    from tsugiki.data.audit.neighbours import Neighbours
    from tsugiki.domain import Ints

MOST_EVIDENCE = 10  # ids listed of one finding


def duplicates(groups: Sequence[str], targets: Ints, folds: Ints, near: Neighbours) -> Iterator[Finding]:
    """`groups` are equal for inputs that differ in case and white space only. Rows are oldest first."""
    _, group_of_row = np.unique(np.asarray(groups, np.str_), return_inverse=True)
    pairs = near.nearly_same()
    apart = pairs[group_of_row[pairs[:, 0]] != group_of_row[pairs[:, 1]]]
    yield from _repeats(group_of_row, targets, apart)
    yield from _contradictions(group_of_row, targets, apart)
    crossing = apart[folds[apart[:, 0]] != folds[apart[:, 1]]]
    for row, others in _by_row(crossing).items():
        yield Finding("duplicate_across_folds", row, evidence=others)


def _repeats(group_of_row: Ints, targets: Ints, apart: Ints) -> Iterator[Finding]:
    """Every row but the oldest of each cluster of one label; the evidence is that oldest one."""
    _, exact = np.unique(np.stack([group_of_row, targets], axis=1), axis=0, return_inverse=True)
    first = _oldest(exact)
    alike = apart[targets[apart[:, 0]] == targets[apart[:, 1]]]
    nearly = components(len(targets), first[alike])[first]
    for row in np.flatnonzero(first != np.arange(len(first))).tolist():
        yield Finding("duplicate_exact", row, evidence=(int(first[row]),))
    for row in np.flatnonzero((nearly != first) & (first == np.arange(len(first)))).tolist():
        yield Finding("duplicate_near", row, evidence=(int(nearly[row]),))


def _contradictions(group_of_row: Ints, targets: Ints, apart: Ints) -> Iterator[Finding]:
    contradicting = targets[apart[:, 0]] != targets[apart[:, 1]]
    order = np.argsort(group_of_row, kind="stable")
    edges = np.flatnonzero(np.diff(group_of_row[order])) + 1
    for rows in np.split(order, edges):
        if len(rows) < 2 or (targets[rows] == targets[rows[0]]).all():
            continue
        told = targets[rows]
        # Of each label once: of many rows that are the same each would look at all.
        others = {label: tuple(rows[told != label][:MOST_EVIDENCE].tolist()) for label in np.unique(told).tolist()}
        for row, label in zip(rows.tolist(), told.tolist(), strict=True):
            yield Finding("duplicate_conflicting_label", row, evidence=others[label])
    for row, others in _by_row(apart[contradicting]).items():
        yield Finding("duplicate_near_conflicting_label", row, evidence=others)


def _oldest(kind: Ints) -> Ints:
    """The first row (rows,) of each row's kind."""
    _, first, inverse = np.unique(kind, return_index=True, return_inverse=True)
    return first[inverse]


def _by_row(pairs: Ints) -> dict[int, tuple[int, ...]]:
    """The others of every row in a pair, in order."""
    found: dict[int, list[int]] = {}
    for one, other in pairs.tolist():
        found.setdefault(one, []).append(other)
        found.setdefault(other, []).append(one)
    return {row: tuple(sorted(found[row])[:MOST_EVIDENCE]) for row in sorted(found)}
