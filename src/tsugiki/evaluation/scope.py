"""Where a head's knowledge ends: the least familiarity at which next to no right answer is called out of scope.

Familiarity is the nearness to the nearest class mean with a part of the head's own certainty (see `HeadScope`). The
certainty is softened, since a calibrated largest probability is near 1 for most inputs, known or not. On MiniLM and
clinc150 (train -> test and oos_test) it told 97.7 % of pairs apart; the nearness alone 97.0 %, the five nearest samples
96.6 %, a shared covariance (Mahalanobis) 96.2 %, the largest probability 94.5 %. One mean a class is all that is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsugiki.domain import SOFTENED, HeadScope, HeldOut
from tsugiki.evaluation.intervals import wilson

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Ints

# Beside the nearness, in standard deviations of both. On intents 0.5 and 1 tell unknown inputs alike and better than 0;
# with two classes (cr beside banking77) certainty only harms: AUROC 0.934 at 0, 0.897 at 0.5, 0.847 at 1.
CERTAINTY_PART = 0.5
# Of right held-out answers, by the upper end of the 95 % interval: nearly nothing. It takes 765 of them to show as
# much, so a few samples, whose means are not settled yet, call nothing out of scope.
MOST_LOST = 0.005


def find_scope(features: Floats, targets: Ints, folds: Ints, held_out: HeldOut) -> HeadScope | None:
    """None where no threshold is shown to be harmless. `features` (rows, dim), `targets` and `folds` (rows,).

    `held_out` says which rows may set the threshold: their means are taken without their fold.
    """
    rows = held_out.rows
    nearness = np.empty(len(features), np.float32)
    for fold in np.unique(folds[rows]):
        inside = folds == fold
        means = class_means(features[~inside], targets[~inside], held_out.probabilities.shape[1])
        nearness[inside] = nearness_to(means, features[inside])
    near, sure = nearness[rows].astype(np.float64), certainty_of(held_out.probabilities).astype(np.float64)
    certainty = CERTAINTY_PART * float(near.std()) / max(float(sure.std()), float(np.finfo(np.float32).eps))
    familiarity = near + certainty * sure
    right = held_out.probabilities.argmax(axis=1) == targets[rows]
    lost = _allowed(int(right.sum()))
    if lost is None:
        return None
    least = float(np.sort(familiarity[right])[lost])
    means = class_means(features, targets, held_out.probabilities.shape[1])
    return HeadScope(means, certainty, least) if np.isfinite(least) else None


def class_means(features: Floats, targets: Ints, classes: int) -> Floats:
    """(classes, dim) float32; NaN for a class without rows."""
    sums = np.zeros((classes, features.shape[1]), np.float64)
    order = np.argsort(targets, kind="stable")
    present, starts = np.unique(targets[order], return_index=True)
    sums[present] = np.add.reduceat(features[order], starts, axis=0, dtype=np.float64)
    counts = np.bincount(targets, minlength=classes)
    with np.errstate(invalid="ignore"):
        return (sums / counts[:, None]).astype(np.float32)


def nearness_to(means: Floats, features: Floats) -> Floats:
    """Minus the squared distance of each row (rows, dim) to the nearest of the means that there are."""
    known = means[np.isfinite(means[:, 0])]
    products = 2.0 * features @ known.T - (known * known).sum(axis=1)
    return products.max(axis=1) - (features * features).sum(axis=1)


def certainty_of(probabilities: Floats) -> Floats:
    """The largest probability of each row (rows, classes) when all are softened."""
    softened = (probabilities / probabilities.max(axis=1, keepdims=True)) ** np.float32(1.0 / SOFTENED)
    return 1.0 / softened.sum(axis=1)


def _allowed(right: int) -> int | None:
    """How many of the right answers may be called out of scope, None if not even none."""
    allowed = int(MOST_LOST * right)
    while allowed >= 0 and wilson(allowed, max(right, 1)).high > MOST_LOST:
        allowed -= 1
    return allowed if allowed >= 0 else None
