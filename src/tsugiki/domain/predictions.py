"""Answers."""

from __future__ import annotations

from dataclasses import dataclass

from .words import Outcome


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row's answer. `scores` holds as many labels as were asked for, best first.

    `labels`, in a multi_label project, are all that apply, perhaps none; `label` is then the best of them, and
    `set_score` how sure the set is: what an outcome of `abstain`, which has no labels, is decided by.

    `familiarity` is by how much the row is nearer than the end of the head's scope, below 0 out of it; None where the
    head has none.
    """

    outcome: Outcome
    label: str | None
    score: float
    scores: tuple[tuple[str, float], ...]
    truncated: bool
    tokens: int
    familiarity: float | None = None
    labels: tuple[str, ...] | None = None
    set_score: float | None = None
