"""Files of sounds to what one network hears: a mel spectrogram, or the samples themselves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, assert_never

import numpy as np

from tsugiki.backbones.hearing import Fbank, Wave, heard
from tsugiki.backbones.mel import SAMPLE_RATE
from tsugiki.backbones.outside import Outside, Reading
from tsugiki.backbones.source import Source
from tsugiki.data.decoding import Decoder
from tsugiki.domain import Content, Json, Prepared
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
        self._hearing = source.hearing
        reading = {"decoded_as": DECODED_AS, "rate": SAMPLE_RATE, "seconds": source.seconds, "hearing": self._told()}
        digest = hashlib.sha256(json.dumps(reading, sort_keys=True).encode()).hexdigest()
        super().__init__(source, weights_sha256, digest, precision)

    def prepare_each(self, contents: Sequence[Content]) -> list[Prepared | Invalid]:
        """Blocks while they are decoded, several at a time."""
        sounds = self._decoder.sounds([_file(content) for content in contents], SAMPLE_RATE, self._seconds)
        return [found if isinstance(found, Invalid) else self._heard(found) for found in sounds]

    def probe(self) -> list[Prepared]:
        """Rising tones in noise."""
        random = np.random.default_rng(0)
        rows: list[Prepared] = []
        for seconds in PROBE_SECONDS:
            at = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
            tone = 0.3 * np.sin(2.0 * np.pi * (random.uniform(80.0, 400.0) + 300.0 * at) * at)
            rows.append(self._heard((tone + random.normal(0.0, 0.02, len(at))).astype(np.float32)))
        return rows

    def reading(self) -> Reading:
        told = self._told()
        module = f"{told['heard']}.py"
        modules = {
            "sounds.py": files("tsugiki.data.decoding").joinpath("sounds.py").read_bytes(),
            module: files("tsugiki.backbones").joinpath(module).read_bytes(),
        }
        settings = {"kind": "audio", "rate": SAMPLE_RATE, "most_seconds": self._seconds, **told}
        return Reading(settings, modules, ("soundfile", "soxr"))

    def _told(self) -> Json:
        """The module that makes rows, and what it is given besides the samples."""
        match self._hearing:
            case None:
                return {"heard": "mel"}
            case Wave():
                return {"heard": "wave", "least": self._hearing.samples(1), "normalise": self._hearing.normalise}
            case Fbank(frames, bins, middle, spread):
                return {"heard": "fbank", "frames": frames, "bins": bins, "middle": middle, "spread": spread}
            case _:
                assert_never(self._hearing)

    def _heard(self, samples: Floats) -> Prepared:
        return heard(samples, self._hearing)


def _file(content: Content) -> bytes:
    assert isinstance(content, bytes), "a sound backbone was given a text; this is a bug"
    return content
