"""What an answer says: the most probable labels, best first, or that it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Outcome


# Classes: of so many the best is found without letting go of the interpreter, as numpy does. To have it back from
# engines' threads took 76 us where thousands of rows a second were answered; this takes 2 to 7.
FEW = 256


def outcome_of(score: float, margin: float | None, abstain_below: float | None) -> Outcome:
    """`margin` is to the end of the head's scope, None where it has none; what is not in it needs no score."""
    if margin is not None and margin < 0.0:
        return "out_of_scope"
    return "abstain" if abstain_below is not None and score < abstain_below else "label"


def best_first(probabilities: Floats, top_k: int | None) -> list[int]:
    """Indices of the `top_k` highest of (classes,), all for None; equal ones in the order of the labels.

    `[0.2, 0.4, 0.4], 2 -> [1, 2]`
    """
    classes = len(probabilities)
    if top_k == 1 and classes <= FEW:
        chances: list[float] = probabilities.tolist()
        return [chances.index(max(chances))]
    if top_k == 1:
        return [int(probabilities.argmax())]
    if top_k is None or top_k >= classes:
        return (-probabilities).argsort(kind="stable").tolist()
    least = np.partition(probabilities, classes - top_k)[classes - top_k]
    candidates = np.flatnonzero(probabilities >= least)  # more than `top_k` where some equal the last of them
    return candidates[(-probabilities[candidates]).argsort(kind="stable")[:top_k]].tolist()
