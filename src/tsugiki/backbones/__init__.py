"""Frozen pretrained networks: their weights, their preprocessing, their compiled graphs."""

from tsugiki.backbones.cache import check_weights, ensure_graph
from tsugiki.backbones.catalog import find, names
from tsugiki.backbones.loaded import Loaded, load, prepare
from tsugiki.backbones.source import Source, read_folder
from tsugiki.backbones.text import Padded, TextBackbone, pad

__all__ = [
    "Loaded",
    "Padded",
    "Source",
    "TextBackbone",
    "check_weights",
    "ensure_graph",
    "find",
    "load",
    "names",
    "pad",
    "prepare",
    "read_folder",
]
