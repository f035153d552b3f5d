"""What was fitted, as a graft and the held-out answers that prove it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsugiki.domain import Fitted, Graft, Head
from tsugiki.training.losses import truths_of
from tsugiki.training.thresholds import answer_held_out, choose_thresholds

if TYPE_CHECKING:
    from tsugiki.domain import Delta, Json, MethodName, TrainingSet
    from tsugiki.training.fit import FittedHead


def fitted_of(
    name: MethodName,
    data: TrainingSet,
    found: FittedHead,
    details: Json,
    *,
    delta: Delta | None = None,
) -> Fitted:
    """With thresholds where a sample may have several labels."""
    truths, held_out, thresholds = truths_of(data), found.held_out, None
    if truths is not None:
        truth = truths[data.targets[held_out.rows]] > 0
        thresholds = choose_thresholds(held_out.probabilities, truth)
        held_out = answer_held_out(held_out, truth, data.folds[held_out.rows], data.groups[held_out.rows])
    head = Head(found.weight, found.bias, found.temperature, data.labels, thresholds=thresholds)
    return Fitted(Graft(name, data.feature_space, head, details, delta), held_out)
