"""How far the answers of two engines may lie apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tsugiki.domain import Floats

MIN_COSINE = 0.999  # to fp32 features; below, heads fitted here and elsewhere would answer differently


def min_cosine(found: Floats, reference: Floats) -> float:
    """The least over rows of two (rows, dim); 0 where they are no features of one shape."""
    if found.shape != reference.shape or not np.isfinite(found).all():
        return 0.0
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(reference, axis=1)
    return float(((found * reference).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)).min())
