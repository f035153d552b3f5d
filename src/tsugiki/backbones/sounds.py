"""Files of sounds to what one network hears: a mel spectrogram, as long as the sound."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.backbones.mel import HOP, POSITION, SAMPLE_RATE, log_mel
from tsugiki.backbones.outside import Outside, Reading
from tsugiki.backbones.source import Source
from tsugiki.data.decoding import Decoder
from tsugiki.domain import Content, Prepared
from tsugiki.errors import Invalid

if TYPE_CHECKING:
    from tsugiki.domain import Floats

DECODED_AS = 1  # raise it whenever reading files changes what samples they become
PROBE_SECONDS = (0.2, 0.5, 0.5, 0.7, 1.0, 1.0, 1.5, 3.0)


class SoundBackbone(Outside):
    """A sound network's outside. Thread-safe."""

    def __init__(self, source: Source, weights_sha256: str, decoder: Decoder, precision: str = "fp32") -> None:
        self._seconds = source.seconds
        self._decoder = decoder
        reading = json.dumps({"decoded_as": DECODED_AS, "rate": SAMPLE_RATE, "seconds": source.seconds}, sort_keys=True)
        super().__init__(source, weights_sha256, hashlib.sha256(reading.encode()).hexdigest(), precision)

    def prepare_each(self, contents: Sequence[Content]) -> list[Prepared | Invalid]:
        """Blocks while they are decoded, several at a time."""
        return self._decoder.map(self._prepare, contents)

    def probe(self) -> list[Prepared]:
        """Rising tones in noise."""
        random = np.random.default_rng(0)
        rows: list[Prepared] = []
        for seconds in PROBE_SECONDS:
            at = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
            tone = 0.3 * np.sin(2.0 * np.pi * (random.uniform(80.0, 400.0) + 300.0 * at) * at)
            rows.append(_heard((tone + random.normal(0.0, 0.02, len(at))).astype(np.float32)))
        return rows

    def reading(self) -> Reading:
        modules = {
            "sounds.py": files("tsugiki.data.decoding").joinpath("sounds.py").read_bytes(),
            "mel.py": files("tsugiki.backbones").joinpath("mel.py").read_bytes(),
        }
        settings = {"kind": "audio", "rate": SAMPLE_RATE, "most_seconds": self._seconds}
        return Reading(settings, modules, ("soundfile", "soxr"))

    def _prepare(self, content: Content) -> Prepared | Invalid:
        assert isinstance(content, bytes), "a sound backbone was given a text; this is a bug"
        try:
            return _heard(self._decoder.sound(content, SAMPLE_RATE, self._seconds))
        except Invalid as refused:
            return refused


def _heard(samples: Floats) -> Prepared:
    frames = log_mel(samples)
    return Prepared(frames, len(frames) * HOP // POSITION)
