"""Pictures and sounds that were taken badly, by what they were measured to be like."""

from __future__ import annotations

import numpy as np
import pytest

from tsugiki.data.audit.quality import Measures, quality
from tsugiki.data.decoding.measures import PICTURE_MEASURES, SOUND_MEASURES, of_picture, of_sound

RATE = 16_000


def picture(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], side: int = 224) -> Measures:
    return dict(zip(PICTURE_MEASURES, (side, side, *of_picture(pixels)), strict=True))


def sound(samples: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Measures:
    return dict(zip(SOUND_MEASURES, of_sound(samples, RATE), strict=True))


def sharp() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def slope() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.broadcast_to(np.linspace(20, 235, 64)[:, None, None], (64, 64, 3)).astype(np.uint8)


def tone(seconds: float = 1.0, loud: float = 0.2) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return (loud * np.sin(np.arange(int(seconds * RATE)) / 10)).astype(np.float32)


@pytest.mark.parametrize(
    ("of", "wanted"),
    [
        (picture(sharp()), []),
        (picture(slope()), ["image_blurred"]),
        (picture((sharp() // 40).astype(np.uint8)), ["image_dark"]),
        (picture(np.full((64, 64, 3), 255, np.uint8)), ["image_dark"]),
        (picture(sharp(), side=20), ["image_small"]),
        (sound(tone()), []),
        (sound(tone(loud=3.0).clip(-1, 1)), ["audio_clipped"]),
        (sound(tone(loud=0.001)), ["audio_quiet"]),
        (None, []),
    ],
)
def test_each_is_told_by_its_code(of: Measures | None, wanted: list[str]) -> None:
    found = list(quality([of]))
    assert [finding.code for finding in found] == wanted
    assert all(finding.row == 0 and finding.detail for finding in found)


def test_lengths_are_odd_beside_the_others() -> None:
    lengths = [1.0] * 12 + [9.0, 0.1]
    found = [finding for finding in quality([sound(tone(seconds)) for seconds in lengths])]
    assert [(finding.code, finding.row) for finding in found] == [("audio_odd_length", 12), ("audio_odd_length", 13)]
    assert not list(quality([sound(tone(seconds)) for seconds in lengths[-4:]])), "few have no usual length"
