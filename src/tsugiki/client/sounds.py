"""Sounds that are arrays, as files that every service reads."""

from __future__ import annotations

import operator
import struct
from dataclasses import dataclass
from typing import Any

FLOAT = 3  # the format tag of IEEE floats
SAMPLE_BYTES = 4
MOST_CHANNELS = 16  # more are taken for samples: an array that lies on its side
WHOLE_OF = {"int16": 2.0**15, "int32": 2.0**31}  # what is 1.0 in an array of whole numbers


@dataclass(frozen=True, slots=True)
class Audio:
    """A sound in memory: `samples` (samples,) or (samples, channels), `rate` of them a second.

    A numpy array or what becomes one: floats in -1..1, int16 or int32.
    """

    samples: Any  # Any: an array, of a library that this one does not import
    rate: int


def wav_of(audio: Audio) -> bytes:
    """A WAV file of 32-bit floats, in which floats and int16 lose nothing. Raises ValueError for no such array."""
    import numpy as np  # whoever has an array has it

    samples = np.asarray(audio.samples)
    if samples.ndim not in (1, 2) or samples.size == 0 or (samples.ndim == 2 and samples.shape[1] > MOST_CHANNELS):
        raise ValueError(f"a sound is (samples,) or (samples, channels); this one is {samples.shape}")
    whole = WHOLE_OF.get(samples.dtype.name)
    if whole is None and samples.dtype.kind != "f":
        raise ValueError(f"a sound is of floats, int16 or int32; this one is of {samples.dtype.name}")
    data = (samples if whole is None else samples / whole).astype("<f4").tobytes()
    return _header(samples.shape[1] if samples.ndim == 2 else 1, operator.index(audio.rate), len(data)) + data


def _header(channels: int, rate: int, data_bytes: int) -> bytes:
    """What stands before the samples. Microsoft, Multimedia Data Standards Update, 1994: floats need a `fact`."""
    frame = channels * SAMPLE_BYTES
    form = struct.pack("<HHIIHHH", FLOAT, channels, rate, rate * frame, frame, 8 * SAMPLE_BYTES, 0)
    chunks = (
        b"WAVE"
        + struct.pack("<4sI", b"fmt ", len(form))
        + form
        + struct.pack("<4sII", b"fact", 4, data_bytes // frame)
        + struct.pack("<4sI", b"data", data_bytes)
    )
    return struct.pack("<4sI", b"RIFF", len(chunks) + data_bytes) + chunks
