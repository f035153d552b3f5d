"""Pictures and sounds that were taken so badly, or are so unlike the others, that little can be learnt from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.audit.finding import Code, Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

Measures = Mapping[str, float]

# Of 480 photographs (flowers5, hymenoptera) 0.4 % had less detail than this at 224 pixels; blurred with a deviation of
# two pixels, 99 %. The darkest of them had a brightness of 0.056 and could still be told.
LEAST_DETAIL = 0.08
LEAST_BRIGHTNESS, MOST_BRIGHTNESS = 0.05, 0.97
LEAST_SIDE = 64  # pixels of the short side: a network looks at 224, the rest would be invented
MOST_CLIPPED = 0.01  # of a sound's samples; beyond, what is heard is the microphone
LEAST_LOUDNESS = -50.0  # decibels: speech is at -30 to -15
ODD = 4.0  # times the median length, or a fourth of it
FEWEST = 10  # sounds, before the median is one to be unlike


def quality(measures: Sequence[Measures | None]) -> Iterator[Finding]:
    """`measures` (rows,) as `tsugiki.data.decoding.measures` takes them; None where none were."""
    for row, of in enumerate(measures):
        if of is None:
            continue
        for code, detail in _odd(of):
            yield Finding(code, row, detail=detail)
    yield from _odd_lengths(measures)


def _odd(of: Measures) -> Iterator[tuple[Code, str]]:
    if "brightness" in of:
        if not LEAST_BRIGHTNESS <= of["brightness"] <= MOST_BRIGHTNESS:
            yield "image_dark", f"brightness {of['brightness']:.2f} of 1"
        elif of["detail"] < LEAST_DETAIL:
            yield "image_blurred", f"detail {of['detail']:.3f}, of sharp ones at least {LEAST_DETAIL}"
        if min(of["width"], of["height"]) < LEAST_SIDE:
            yield "image_small", f"{of['width']:g} x {of['height']:g} pixels"
    if "clipped" in of:
        if of["clipped"] > MOST_CLIPPED:
            yield "audio_clipped", f"{100 * of['clipped']:.1f} % of the samples are cut off"
        if of["loudness"] < LEAST_LOUDNESS:
            yield "audio_quiet", f"{of['loudness']:.0f} dB"


def _odd_lengths(measures: Sequence[Measures | None]) -> Iterator[Finding]:
    seconds: NDArray[np.float64] = np.array([of.get("seconds", np.nan) if of else np.nan for of in measures])
    if np.isfinite(seconds).sum() < FEWEST:
        return
    median = float(np.nanmedian(seconds))
    for row in np.flatnonzero((seconds > ODD * median) | (seconds < median / ODD)).tolist():
        yield Finding("audio_odd_length", row, detail=f"{seconds[row]:.2f} s, the median is {median:.2f} s")
