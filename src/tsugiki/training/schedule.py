"""How the learning rate runs: up in a short warm-up, then down to nothing (Howard & Ruder 2018; Devlin et al. 2019)."""

from __future__ import annotations

import math

WARM_UP = 0.1  # of all steps, as BERT was fine-tuned


def rate_at(progress: float) -> float:
    """The part of the peak rate at `progress` 0..1: linear up to 1, then half a cosine down to 0."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1.0 - WARM_UP))))
