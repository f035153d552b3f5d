"""A part of a picture or a sound as a file of its own: an input that nothing was fitted on, where there is no other."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING, assert_never

import numpy as np
from PIL import Image

from tsugiki.data.decoding import LOOKED_AT, MOST_SECONDS, RATE, Decoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Modality

LEAST_SECONDS = 0.1  # of a half: shorter sounds stay whole
FULL = 0.99 * (2**15 - 1)  # the loudest sample that is written: a part may be far quieter than its whole


def half(data: bytes, modality: Modality, decoder: Decoder) -> bytes:
    """The left half of a picture, PNG; the louder half of a sound, WAV. Raises what `decoder` raises."""
    match modality:
        case "image":
            pixels = decoder.image(data, LOOKED_AT)
            return _png(pixels[:, : pixels.shape[1] // 2])
        case "audio":
            samples = decoder.sound(data, RATE, MOST_SECONDS)
            middle = max(len(samples) // 2, min(len(samples), int(LEAST_SECONDS * RATE)))
            return _wav(max(samples[:middle], samples[-middle:], key=_peak))
        case "text":
            raise AssertionError("a text is no file; this is a bug")
        case _:
            assert_never(modality)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _wav(samples: NDArray[np.float32]) -> bytes:
    whole = np.rint(samples * (FULL / _peak(samples))).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(whole.itemsize)
        written.setframerate(RATE)
        written.writeframes(whole.tobytes())
    return file.getvalue()


def _peak(samples: NDArray[np.float32]) -> float:
    """Above 0: a silent sound is refused when it is read, and one half of any other has its loudest sample."""
    return float(np.abs(samples).max())
