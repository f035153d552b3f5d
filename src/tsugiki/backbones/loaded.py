"""A backbone ready to serve: checked weights, preprocessing, compiled graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tsugiki.backbones.cache import check_weights, ensure_bank_graph, ensure_graph
from tsugiki.backbones.catalog import find
from tsugiki.backbones.outside import Outside
from tsugiki.backbones.pictures import PictureBackbone
from tsugiki.backbones.sounds import SoundBackbone
from tsugiki.backbones.source import Source
from tsugiki.backbones.text import TextBackbone
from tsugiki.data.decoding import Decoder
from tsugiki.ports import BankType


@dataclass(frozen=True, slots=True)
class Loaded:
    """`graph` is the ONNX file of the signature in `signature.py`, `given` as in `load`. The Graphs port."""

    source: Source
    backbone: Outside
    graph: Path
    given: Path | None = None

    def at(self, precision: str) -> Loaded:
        """As an engine of this precision class serves it."""
        return replace(self, backbone=self.backbone.at(precision))

    def bank_graph(self, modules: Sequence[str], bank_type: BankType) -> Path:
        return ensure_bank_graph(self.graph, modules, bank_type, self.given)


def load(
    name: str,
    configured: Mapping[str, Path],
    cache_dir: Path,
    decoder: Decoder | None = None,
    given: Path | None = None,
) -> Loaded:
    """The named backbone; `configured` maps further names to Hugging Face folders. Only texts are read without a
    `decoder`.

    Some tenth of a second where the graph is in `cache_dir` or in `given`, compiled before and only read; else some
    ten seconds. Raises Invalid (`backbone_unknown`)
    and Unavailable (`backbone_missing`, `backbone_unsupported`, `backbone_corrupt`, `backbone_build_failed`).
    """
    source = find(name, configured)
    return prepare(source, cache_dir, decoder, given)


def prepare(source: Source, cache_dir: Path, decoder: Decoder | None = None, given: Path | None = None) -> Loaded:
    """The same for a source at hand."""
    weights_sha256 = check_weights(source)
    backbone = outside(source, weights_sha256, decoder)
    return Loaded(source, backbone, ensure_graph(source, weights_sha256, cache_dir, given), given)


def outside(source: Source, weights_sha256: str, decoder: Decoder | None = None) -> Outside:
    """What reads its inputs; of texts without a decoder. Raises Unavailable (`backbone_unsupported`)."""
    if source.modality == "text":
        return TextBackbone(source, weights_sha256)
    assert decoder is not None, "who asks for a backbone of files has a decoder; this is a bug"
    match source.modality:
        case "image":
            return PictureBackbone(source, weights_sha256, decoder)
        case "audio":
            return SoundBackbone(source, weights_sha256, decoder)
