"""Histories of a project: what a version was trained on, what came after it, and what is wrong with that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats, Ints

Honest = Literal["more", "few more", "corrections", "deletions", "repeats"]
Foul = Literal["flips among the new", "flips in all", "a class flipped, new", "a class flipped, all", "wrong repeats"]
HONEST, FOUL = get_args(Honest), get_args(Foul)
FLIPPED = (0.05, 0.1, 0.2, 0.4)
CLASSES = (2, 5, 10, 30, 60)
PER_CLASS = {2: (50, 60), 5: (20, 40), 10: (10, 20, 40), 30: (10, 20, 40), 60: (10, 20, 40)}  # 100 samples or more
NEW_PART = (0.25, 0.5, 1.0)  # of what there was
REPEATED, COPIES, JITTER = 0.1, 4, 0.002  # a tenth of the texts, four spellings each; of a feature of norm 1


@dataclass(frozen=True, slots=True)
class Labelled:
    features: Floats
    targets: Ints


@dataclass(frozen=True, slots=True)
class Stage:
    """A project's samples at one time: `ids` and `groups` are shared by stages, (rows,) each."""

    features: Floats
    targets: Ints
    ids: list[str]
    groups: list[str]


@dataclass(frozen=True, slots=True)
class Case:
    kind: Honest | Foul
    part: float
    classes: int
    live: Stage
    candidate: Stage
    test: Labelled


def draw(train: Labelled, test: Labelled, seed: int) -> Case:
    """One history from a set's own training rows; half of the seeds are honest. The test rows are never touched."""
    random = np.random.default_rng(seed)
    kinds = HONEST if seed % 2 else FOUL
    kind = kinds[seed // 2 % len(kinds)]
    classes = int(random.choice(CLASSES))
    part = float(random.choice(FLIPPED))
    chosen = random.choice(int(train.targets.max()) + 1, classes, replace=False)
    per_class = int(random.choice(PER_CLASS[classes]))
    new = max(1, int(per_class * random.choice(NEW_PART)))
    old_rows, new_rows, old, fresh = _rows(train, chosen, per_class, new, random)
    targets, added = old.copy(), fresh.copy()
    features, extra = train.features[old_rows], train.features[new_rows]
    groups = [f"new {i}" for i in range(len(fresh))]
    live, kept = old.copy(), np.arange(len(old))
    match kind:
        case "more":
            pass
        case "few more":
            extra, added, groups = extra[::new], added[::new], groups[::new]
        case "corrections":
            live = flipped(old, part / 2, classes, random)
        case "deletions":
            kept = np.sort(random.permutation(len(old))[: int(0.9 * len(old))])
        case "repeats" | "wrong repeats":
            source = np.repeat(random.permutation(len(old))[: max(1, int(REPEATED * len(old)))], COPIES)
            extra = features[source] + random.normal(0, JITTER, (len(source), features.shape[1])).astype(np.float32)
            added = (old[source] + (kind == "wrong repeats")) % classes
            groups = [f"old {i}" for i in source]
        case "flips among the new":
            added = flipped(fresh, part, classes, random)
        case "flips in all":
            targets, added = (flipped(rows, part, classes, random) for rows in (old, fresh))
        case "a class flipped, new":
            added[added == 0] = 1
        case "a class flipped, all":
            targets[targets == 0] = added[added == 0] = 1
        case _:
            raise AssertionError(f"unknown: {kind}")
    names = [f"old {i}" for i in range(len(old))]
    before = Stage(features, live, names, names)
    after = Stage(
        np.concatenate([features[kept], extra]),
        np.concatenate([targets[kept], added]),
        [names[i] for i in kept] + [f"added {i}" for i in range(len(added))],
        [names[i] for i in kept] + groups,
    )
    return Case(kind, part, classes, before, after, _among(test, chosen))


def flipped(targets: Ints, part: float, classes: int, random: np.random.Generator) -> Ints:
    """`part` of the labels, each to another class drawn at random."""
    changed = targets.copy()
    rows = random.permutation(len(targets))[: max(1, int(part * len(targets)))]
    changed[rows] = (targets[rows] + random.integers(1, classes, len(rows))) % classes
    return changed


def _rows(
    train: Labelled, chosen: NDArray[np.int64], per_class: int, new: int, random: np.random.Generator
) -> tuple[Ints, Ints, Ints, Ints]:
    """The rows there were and the rows to come, and the classes of each, counted from 0."""
    old_rows: list[int] = []
    new_rows: list[int] = []
    olds: list[int] = []
    news: list[int] = []
    for number, label in enumerate(chosen):
        rows: list[int] = random.permutation(np.flatnonzero(train.targets == label)).tolist()
        old_rows += rows[:per_class]
        new_rows += rows[per_class : per_class + new]
        olds += [number] * len(rows[:per_class])
        news += [number] * len(rows[per_class : per_class + new])
    return np.array(old_rows), np.array(new_rows), np.array(olds), np.array(news)


def _among(test: Labelled, chosen: NDArray[np.int64]) -> Labelled:
    number = {int(label): index for index, label in enumerate(chosen)}
    rows = np.flatnonzero(np.isin(test.targets, chosen))
    return Labelled(test.features[rows], np.array([number[int(label)] for label in test.targets[rows]]))
