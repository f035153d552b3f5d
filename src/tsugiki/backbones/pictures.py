"""Files of pictures to pixels as one network sees them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files

import numpy as np

from tsugiki.backbones.outside import Outside, Reading
from tsugiki.backbones.source import Source
from tsugiki.data.decoding import Decoder
from tsugiki.domain import Content, Prepared
from tsugiki.errors import Invalid

DECODED_AS = 1  # raise it whenever reading files changes what pixels they become
PROBED = 8  # pictures


class PictureBackbone(Outside):
    """A picture network's outside. Thread-safe."""

    def __init__(self, source: Source, weights_sha256: str, decoder: Decoder, precision: str = "fp32") -> None:
        assert source.view is not None, "a picture's source says how it is cut; this is a bug"
        self._view = source.view
        self._decoder = decoder
        levels = None if source.levels is None else asdict(source.levels)
        reading = json.dumps({"decoded_as": DECODED_AS, "view": asdict(source.view), "levels": levels}, sort_keys=True)
        super().__init__(source, weights_sha256, hashlib.sha256(reading.encode()).hexdigest(), precision)

    def prepare_each(self, contents: Sequence[Content]) -> list[Prepared | Invalid]:
        """Blocks while they are decoded, several at a time."""
        return self._decoder.map(self._prepare, contents)

    def probe(self) -> list[Prepared]:
        """Slopes of light of all directions with grains on them: no photographs, and not as dull as noise."""
        random, side = np.random.default_rng(0), self._view.size
        across, down = np.meshgrid(*(np.linspace(0.0, 255.0, side),) * 2)
        rows: list[Prepared] = []
        for _ in range(PROBED):
            colours = [part * across + (1.0 - part) * down for part in random.random(3)]
            grains = random.normal(0.0, 20.0, (side, side, 3))
            pixels = (np.stack(colours, axis=-1) + grains).clip(0, 255).astype(np.uint8)
            rows.append(Prepared(pixels, self._source.max_tokens))
        return rows

    def reading(self) -> Reading:
        module = files("tsugiki.data.decoding").joinpath("images.py").read_bytes()
        return Reading({"kind": "image", "view": asdict(self._view)}, {"images.py": module}, ("pillow",))

    def _prepare(self, content: Content) -> Prepared | Invalid:
        assert isinstance(content, bytes), "a picture backbone was given a text; this is a bug"
        try:
            return Prepared(self._decoder.image(content, self._view), self._source.max_tokens)
        except Invalid as refused:
            return refused
