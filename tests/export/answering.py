"""What a head answers to features, as the service computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsugiki.domain import Head

if TYPE_CHECKING:
    from tsugiki.domain import Floats


def probabilities(features: Floats, head: Head) -> Floats:
    """(rows, dim) -> (rows, classes)."""
    logits = (features @ head.weight.T + head.bias) / head.temperature
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
