"""Samples to what networks of raw sound hear: the one function that training, serving and every export use.

Imports numpy only, because this file is copied into exports as it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000  # Hz
SMALLEST = 1e-7  # added to a variance: of wav2vec 2.0's own preprocessing


def levelled(samples: NDArray[np.float32], least: int, *, normalise: bool) -> NDArray[np.float32]:
    """(n,) float32 -> (max(n, least),): brought to mean 0 and variance 1 where asked for, then silence at the end.

    `least` are the samples that the network needs for one position.
    """
    if normalise:
        samples = (samples - samples.mean()) / np.sqrt(samples.var() + SMALLEST)
    return np.pad(samples, (0, max(0, least - len(samples)))).astype(np.float32)
