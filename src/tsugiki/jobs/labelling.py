"""Where a sample may have several labels: which of them a fit learns, and what stands for a sample in its folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.domain import told_labels, usable_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Ints, Snapshot


def combinations_of(told: Sequence[str], labels: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Each set in `told` as places in `labels`; labels that are not there are left out of it."""
    place = {label: index for index, label in enumerate(labels)}
    return tuple(tuple(place[label] for label in told_labels(members) if label in place) for members in told)


def learnable(snapshot: Snapshot) -> tuple[str, ...]:
    """The labels that a fit can learn: all, where a sample has one."""
    return snapshot.labels if snapshot.combinations is None else usable_labels(Counter(snapshot.told.values()))


def learnt_combinations(snapshot: Snapshot, labels: Sequence[str]) -> tuple[tuple[int, ...], ...] | None:
    """The snapshot's combinations as places in `labels`, what is not among them left out."""
    if snapshot.combinations is None:
        return None
    place = {label: index for index, label in enumerate(labels)}
    members = ((snapshot.labels[index] for index in of) for of in snapshot.combinations)
    return tuple(tuple(place[name] for name in names if name in place) for names in members)


def truth_of(snapshot: Snapshot, labels: Sequence[str]) -> NDArray[np.bool_]:
    """(samples, labels): which sample has which of `labels`."""
    combinations = learnt_combinations(snapshot, labels)
    assert combinations is not None, "a sample has one label: this is a bug"
    kinds = np.zeros((len(combinations), len(labels)), np.bool_)
    for kind, members in enumerate(combinations):
        kinds[kind, list(members)] = True
    return kinds[np.array(snapshot.targets, np.int64)]


def rarest(targets: Ints, combinations: Sequence[Sequence[int]], labels: int) -> Ints:
    """The rarest label of each sample (samples,), `labels` where it has none: what its fold is balanced by.

    A label that few samples have is then in every fold, and the common ones follow by their numbers (the first step of
    Sechidis et al. 2011, iterative stratification, made once).
    """
    sizes = np.bincount(targets, minlength=len(combinations))
    counts = np.zeros(labels, np.int64)
    for size, members in zip(sizes.tolist(), combinations, strict=True):
        counts[list(members)] += size
    kinds = [min(members, key=lambda label: (counts[label], label), default=labels) for members in combinations]
    return np.array(kinds, np.int64)[targets]
