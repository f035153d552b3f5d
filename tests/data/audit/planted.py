"""Clean features of well-parted classes, for a test to spoil one thing in, and held-out answers by real fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.audit import Lengths, Material, audit, fold_groups, search
from tsugiki.data.folds import assign_folds, number_groups
from tsugiki.domain import Snapshot
from tsugiki.training.effort import plan_effort
from tsugiki.training.fit import fit_head

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints, Json

CLASSES, PER_CLASS, DIM = 4, 30, 48
SPREAD = 0.15  # of the rows around their class, a coordinate: alike, and never nearly the same


@dataclass(frozen=True, slots=True)
class Planted:
    """`tokens` (rows,) and `groups` are as of texts that differ."""

    features: Floats
    targets: Ints
    groups: tuple[str, ...]
    tokens: Ints
    truncated: tuple[int, ...] = ()

    def add(self, features: Floats, targets: Sequence[int], groups: Sequence[str] = ()) -> Planted:
        rows = range(len(self.targets), len(self.targets) + len(targets))
        return replace(
            self,
            features=np.concatenate([self.features, features.astype(np.float32)]),
            targets=np.concatenate([self.targets, np.array(targets, np.int64)]),
            groups=(*self.groups, *(groups or [f"g{row}" for row in rows])),
            tokens=np.concatenate([self.tokens, np.full(len(targets), 8)]),
        )

    def audit(self, *, join: bool = True, kept: frozenset[tuple[str, str]] = frozenset()) -> Json:
        near = search(self.features)
        groups = fold_groups(self.groups, self.targets, near) if join else self.groups
        folds = assign_folds(self.targets, groups, seed=0)
        classes = int(self.targets.max()) + 1
        effort = plan_effort(len(self.targets), self.features.shape[1], classes, None)
        fitted = fit_head(
            self.features, self.targets, folds, number_groups(groups), classes, effort, _hear, lambda: None
        )
        ids = tuple(f"smp_{row}" for row in range(len(self.targets)))
        labels = tuple(f"label {number}" for number in range(classes))
        targets, numbers = tuple(self.targets.tolist()), tuple(number_groups(groups).tolist())
        snapshot = Snapshot("snp_", "proj_", ids, labels, targets, tuple(folds.tolist()), numbers)
        cut = np.isin(np.arange(len(self.targets)), self.truncated)
        return audit(Material(snapshot, self.groups, near, Lengths(self.tokens, cut), fitted.held_out), kept)


def _hear(stage: str, part: float) -> None:
    """Progress that nobody reads."""


def clean(seed: int = 0, classes: int = CLASSES, per_class: int = PER_CLASS) -> Planted:
    random = np.random.default_rng(seed)
    targets = np.repeat(np.arange(classes), per_class)
    centres = random.standard_normal((classes, DIM))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    features = centres[targets] + SPREAD * random.standard_normal((len(targets), DIM))
    groups = tuple(f"g{row}" for row in range(len(targets)))
    return Planted(features.astype(np.float32), targets, groups, np.full(len(targets), 8))


def named(report: Json, code: str) -> list[int]:
    """Rows, in order, that the findings of a code are about."""
    return sorted(int(found["sample"].removeprefix("smp_")) for found in report["findings"] if found["code"] == code)


def codes(report: Json) -> set[str]:
    return {found["code"] for found in report["findings"]}
