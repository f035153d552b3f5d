"""What an answer says: the most probable labels, best first, or that it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsugiki.domain import Prediction
from tsugiki.evaluation.sets import set_scores

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Outcome, Prepared
    from tsugiki.runtime.directory import Target


# Classes: of so many the best is found without letting go of the interpreter, as numpy does. To have it back from
# engines' threads took 76 us where thousands of rows a second were answered; this takes 2 to 7.
FEW = 256


def prediction_of(target: Target, row: Prepared, probabilities: Floats, top_k: int | None) -> Prediction:
    """`probabilities` with the margin to the scope's end behind them, where the head has one, or each label's."""
    labels = target.version.labels
    if target.project.task == "multi_label":
        return _set_prediction(target, row, probabilities, top_k)
    chances, margin = probabilities[: len(labels)], probabilities[len(labels) :]
    scores = tuple((labels[index], float(chances[index])) for index in best_first(chances, top_k))
    label, score = scores[0]
    familiarity = float(margin[0]) if len(margin) else None
    outcome = outcome_of(score, familiarity, target.abstain_below)
    return Prediction(
        outcome=outcome,
        label=label if outcome == "label" else None,
        score=score,
        scores=scores,
        truncated=row.truncated,
        tokens=row.size,
        familiarity=familiarity,
    )


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


def _set_prediction(target: Target, row: Prepared, probabilities: Floats, top_k: int | None) -> Prediction:
    """`probabilities` with each label's margin to its threshold behind them, and that to the scope's end where there is
    one. That none applies is an answer too.
    """
    labels = target.version.labels
    chances, margins, beyond = np.split(probabilities, [len(labels), 2 * len(labels)])
    scores = tuple((labels[index], float(chances[index])) for index in best_first(chances, top_k))
    familiarity = float(beyond[0]) if len(beyond) else None
    set_score = float(set_scores(chances[None], margins[None] >= 0.0)[0])
    outcome = outcome_of(set_score, familiarity, target.abstain_below)
    given = [index for index in best_first(chances, None) if margins[index] >= 0.0 and outcome == "label"]
    return Prediction(
        outcome=outcome,
        label=labels[given[0]] if given else None,
        score=scores[0][1],
        scores=scores,
        truncated=row.truncated,
        tokens=row.size,
        familiarity=familiarity,
        labels=tuple(labels[index] for index in given),
        set_score=set_score,
    )
