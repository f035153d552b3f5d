"""Samples to the log-mel frames that Audio Spectrogram Transformers see: what training, serving and exports use.

Imports numpy only, because this file is copied into exports as it is. The steps are those of Kaldi's filter banks, as
Gong et al. 2021, https://arxiv.org/abs/2104.01778, take them, but without its dither.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000  # Hz
WINDOW, HOP, SPECTRUM = 400, 160, 512  # samples: 25 ms, 10 ms, and what the window is filled up to with zeros
PREEMPHASIS = 0.97
LEAST_HZ = 20.0
FLOOR = 2.0**-23  # of a power, so that silence has a logarithm: what float32 tells from 1
KNEE_HZ, PER_MEL = 700.0, 1_127.0  # mel = 1127 ln(1 + Hz / 700)


def frames_in(samples: int) -> int:
    """As many as fit, at least one."""
    return max(0, samples - WINDOW) // HOP + 1


def log_fbank(
    samples: NDArray[np.float32], *, frames: int, bins: int, middle: float, spread: float
) -> NDArray[np.float32]:
    """(n,) float32 at 16 kHz -> (frames, bins) float32, less `middle` and divided by `spread`.

    Cut where the sound is longer; where it is shorter, what follows is 0 before that scaling.
    """
    filled = np.pad(samples, (0, max(0, WINDOW - len(samples)))).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(filled, WINDOW)[::HOP][:frames]
    windows = windows - windows.mean(axis=1, keepdims=True)
    before = np.concatenate([windows[:, :1], windows[:, :-1]], axis=1)
    power = np.abs(np.fft.rfft((windows - PREEMPHASIS * before) * np.hanning(WINDOW), SPECTRUM)) ** 2
    logarithms = np.log(np.maximum(power @ _filters(bins), FLOOR))
    whole = np.pad(logarithms, ((0, frames - len(logarithms)), (0, 0)))
    return ((whole - middle) / spread).astype(np.float32)


@cache
def _filters(bins: int) -> NDArray[np.float64]:
    """(257, bins): triangles of height 1, their corners and sides even on the mel scale."""
    corners = np.linspace(_mel(np.array(LEAST_HZ)), _mel(np.array(SAMPLE_RATE / 2)), bins + 2)
    spectrum = _mel(np.linspace(0, SAMPLE_RATE / 2, SPECTRUM // 2 + 1))[:, None]
    low, peak, high = corners[:-2], corners[1:-1], corners[2:]
    return np.maximum(np.minimum((spectrum - low) / (peak - low), (high - spectrum) / (high - peak)), 0)


def _mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    return PER_MEL * np.log(1 + hertz / KNEE_HZ)
