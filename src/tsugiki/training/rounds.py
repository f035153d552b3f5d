"""Which trainings prove a changed network and which one is served: decided by how long one takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tsugiki.data.folds import split_in_half
from tsugiki.training.loop import MOST_WATCHED

if TYPE_CHECKING:
    from tsugiki.domain import Ints

SPARE = (
    1.5  # times the estimate before a plan counts as affordable: the estimate is of a machine with nothing else to do
)
# Watched rows below which a loss is luck: on 77 of banking77 (10 a class) it said to train not at all, where eight
# epochs gained a point on 1,000 validation rows. Without, a course runs through, its rate down to nothing.
FEWEST_WATCHED = 200
PILOT_SHARE = 1 / 3  # of the budget at most for the first training, where a second one has to prove it

Proof = Literal["folds", "half"]


@dataclass(frozen=True, slots=True)
class Part:
    """One training: on `train`, stopped by `watched`, judged on `held`; indices of samples."""

    train: Ints
    watched: Ints
    held: Ints


def choose_proof(folds: Ints, one_s: float, allowed_s: float) -> Proof:
    """By "folds", a first training finds how long to train, then one a fold proves it and one on all samples is served.

    By "half", half of one fold tells when to stop, its other half proves it. By the estimate of one training alone, so
    that the same data and budget give the same plan. Either way the first fold is judged, which is the frozen one where
    there is one: versions proven in different ways are compared on it.
    """
    trainings = len(np.unique(folds)) + 1
    return "folds" if SPARE * trainings * one_s <= allowed_s else "half"


def pilot(folds: Ints, groups: Ints, proof: Proof, *, watch: bool = True) -> Part:
    """The first training: all but one fold. `watch`: whether there is a head that learns along to look at."""
    left_out = np.unique(folds)[-1 if proof == "folds" else 0]
    train, out = np.flatnonzero(folds != left_out), np.flatnonzero(folds == left_out)
    if not watch or len(out) < FEWEST_WATCHED * (1 if proof == "folds" else 2):
        return Part(train, out[:0], out)
    if proof == "folds":
        return Part(train, out[:MOST_WATCHED], out[:0])
    watched = out[split_in_half(groups[out]) == 0][:MOST_WATCHED]
    held = out[~np.isin(groups[out], groups[watched])]
    # Where one group fills the fold, what told when to stop would also be what proves it.
    return Part(train, watched, held) if len(held) else Part(train, held, out)


def proofs(folds: Ints) -> list[Part]:
    """A training for each fold but the pilot's. None stops by what it is judged on: how long, the pilot told."""
    none = np.zeros(0, np.int64)
    return [
        Part(np.flatnonzero(folds != fold), none, np.flatnonzero(folds == fold))
        for fold in np.unique(folds).tolist()[:-1]
    ]
