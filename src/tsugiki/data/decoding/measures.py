"""What a picture or a sound is like, in a few numbers kept with the sample: an audit tells odd ones by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

GREY = np.array([0.299, 0.587, 0.114], np.float32)  # how bright red, green and blue look (ITU-R BT.601)
FULL = 0.99  # of the largest sample a file can hold: there a recording is cut off
FLOOR_DB = -120.0
PICTURE_MEASURES = ("width", "height", "brightness", "contrast", "detail")
SOUND_MEASURES = ("seconds", "loudness", "clipped")


def of_picture(pixels: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Of (height, width, 3): brightness 0..1, contrast (its deviation), detail of the sharpest hundredth.

    Detail is how far a pixel's brightness lies from what its four neighbours lead one to expect.
    """
    grey = (pixels.astype(np.float32) / 255.0) @ GREY
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    detail = np.abs(4.0 * grey[1:-1, 1:-1] - around)
    return float(grey.mean()), float(grey.std()), float(np.percentile(detail, 99))


def of_sound(samples: NDArray[np.float32], rate: int) -> tuple[float, float, float]:
    """Of (samples,): seconds, loudness in decibels of the loudest possible, clipped part of them."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    loudness = max(FLOOR_DB, 10.0 * float(np.log10(max(power, 1e-12))))
    return len(samples) / rate, loudness, float(np.mean(np.abs(samples) >= FULL))
