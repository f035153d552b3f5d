"""Heads by the dozen, what they must answer, and a bank that is broken on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.runtime.passes import Passes
from tsugiki.domain import SOFTENED, Graft, Head, HeadScope, Version, WeightsDelta
from tsugiki.runtime.banks import Banks
from tsugiki.runtime.heads import HeadBank
from tsugiki.runtime.loras import LoraBank
from tsugiki.runtime.route import OwnNetwork, Route, Slot
from tsugiki.storage.clock import utc_now

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats

SPACE = "fsp_tests"
TOLERANCE = 1e-5  # design, I2: what another batch shape may change


class BlindBank(HeadBank):
    """The fault that must be found: answers from whatever is in the slot now."""

    def _owns(self, page: object, slot: Slot) -> bool:
        return True


def graft(
    seed: int, classes: int = 3, dim: int = 8, space: str = SPACE, *, scope: bool = False, each: bool = False
) -> Graft:
    """`each`: its labels are questions of their own."""
    random = np.random.default_rng(seed)
    weight = random.standard_normal((classes, dim)).astype(np.float32)
    bias = random.standard_normal(classes).astype(np.float32)
    labels = tuple(f"{seed}/{number}" for number in range(classes))
    temperature = float(random.uniform(0.3, 3))
    # One more, of samples without a label; or one less, where a label has no samples.
    known = classes + 1 if each else classes - (seed % 4 == 0)
    means = random.standard_normal((known, dim)).astype(np.float32)
    bounds = HeadScope(means, float(random.uniform(0.1, 2)), -float(dim)) if scope else None
    thresholds = random.uniform(0.2, 0.8, classes).astype(np.float32) if each else None
    return Graft("head", space, Head(weight, bias, temperature, labels, bounds, thresholds))


def heads_only(bank: HeadBank) -> Banks:
    """Banks of a backbone that has nothing to adapt."""

    def none(delta: WeightsDelta) -> OwnNetwork:
        raise AssertionError("a head brings no weights")

    return Banks(bank, LoraBank(dict, "float32", 0), Passes(), none)


def expected(made: Graft, features: Floats) -> Floats:
    """Probabilities in double precision: (rows, dim) -> (rows, classes), and the margins where the head has some."""
    head = made.head
    logits = (features.astype(np.float64) @ head.weight.T.astype(np.float64) + head.bias) / head.temperature
    if head.thresholds is not None:
        each = 1.0 / (1.0 + np.exp(-logits))
        told = [each, each - head.thresholds]
        if head.scope is not None:
            told.append(_margins(head.scope, features, each.max(axis=1))[:, None])
        return np.column_stack(told).astype(np.float32)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = raised / raised.sum(axis=1, keepdims=True)
    if head.scope is None:
        return probabilities.astype(np.float32)
    softened = probabilities ** (1 / SOFTENED)
    margins = _margins(head.scope, features, softened.max(axis=1) / softened.sum(axis=1))
    return np.column_stack([probabilities, margins]).astype(np.float32)


def _margins(scope: HeadScope, features: Floats, certainty: NDArray[np.float64]) -> NDArray[np.float64]:
    distances = ((features[:, None].astype(np.float64) - scope.means) ** 2).sum(axis=2)
    return scope.certainty * certainty - distances.min(axis=1) - scope.least


def features(rows: int, dim: int = 8, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


def route(slot: Slot, space: str = SPACE) -> Route:
    return Route("ten_a", space, slot)


def version(project: str, digest: str, labels: tuple[str, ...] = ("no", "yes")) -> Version:
    return Version(project, 1, digest, "head", "tiny", SPACE, labels, "snp_a", {}, {}, utc_now())
