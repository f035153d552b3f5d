"""Samples to Whisper's log-mel frames: the one function that training, serving and every export use.

Imports numpy only, because this file is copied into exports as it is. Constants and steps are those of Radford et al.
2022, "Robust Speech Recognition via Large-Scale Weak Supervision", https://arxiv.org/abs/2212.04356, section 2.2, and
of the code published with it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000  # Hz
BINS = 80
WINDOW = 400  # samples: 25 ms
HOP = 160  # samples: 10 ms
POSITION = 2 * HOP  # samples of one position: the network's second convolution halves the frames

FLOOR = 1e-10  # of a power, so that silence has a logarithm
RANGE = 8.0  # decades below the loudest bin that are kept

# Slaney's mel scale: linear in hertz up to 1 kHz, logarithmic above it (Auditory Toolbox, 1998).
LINEAR_HZ = 200 / 3  # a mel
KNEE_HZ, KNEE_MEL = 1_000.0, 15.0
LOG_STEP = np.log(6.4) / 27


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) float32 at 16 kHz -> (frames, 80) float32 of 10 ms each, their number even by silence at the end.

    What Whisper computes, but for no more than the clip: it appends silence up to 30 s. The loudest bin, from which the
    range hangs, is thus looked for in the clip's own frames. The two differ where the first frame after the clip, which
    its last 12.5 ms reach into, would have been the loudest of all, and in the last frame of a clip of 30 s, whose end
    Whisper mirrors. Raises ValueError if there are no samples.
    """
    if samples.ndim != 1 or not len(samples):
        raise ValueError(f"expected samples (n,) with n > 0, got an array of shape {samples.shape}")
    frames, middle = 2 * -(-len(samples) // POSITION), WINDOW // 2
    padded = np.zeros(frames * HOP + WINDOW, np.float32)
    before = samples[middle:0:-1]  # mirrored about the first sample, as the frames are centred
    padded[middle - len(before) : middle] = before
    padded[middle : middle + len(samples)] = samples
    windows = np.ndarray((frames, WINDOW), np.float32, padded, strides=(HOP * padded.itemsize, padded.itemsize))
    spectrum = np.fft.rfft(windows * _hann()).astype(np.complex64, copy=False)  # as it is; its type does not say so
    squares = np.square(spectrum.view(np.float32))  # of the real and the imaginary part, side by side
    decades = (squares[:, ::2] + squares[:, 1::2]) @ _filters()
    np.maximum(decades, FLOOR, out=decades)
    np.log10(decades, out=decades)
    np.maximum(decades, decades.max() - RANGE, out=decades)
    decades += 4
    decades /= 4
    return decades


@cache
def _hann() -> NDArray[np.float32]:
    """(400,): periodic, so without the zero at its end."""
    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


@cache
def _filters() -> NDArray[np.float32]:
    """(201, 80): triangles over the spectrum, each of area 1 by hertz, their corners evenly spaced on the mel scale."""
    corners = _hertz(np.linspace(0, _mel(SAMPLE_RATE / 2), BINS + 2))
    spectrum = np.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1)[:, None]
    low, peak, high = corners[:-2], corners[1:-1], corners[2:]
    triangles = np.minimum((spectrum - low) / (peak - low), (high - spectrum) / (high - peak))
    return (np.maximum(triangles, 0) * 2 / (high - low)).astype(np.float32)


def _mel(hertz: float) -> float:
    """Of a frequency above the knee."""
    return KNEE_MEL + float(np.log(hertz / KNEE_HZ)) / LOG_STEP


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mels < KNEE_MEL, LINEAR_HZ * mels, KNEE_HZ * np.exp(LOG_STEP * (mels - KNEE_MEL)))
