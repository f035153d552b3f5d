"""Frozen pretrained networks: their weights, their preprocessing, their compiled graphs."""

from tsugiki.backbones.cache import check_weights, ensure_graph
from tsugiki.backbones.catalog import find, names
from tsugiki.backbones.folders import read_folder
from tsugiki.backbones.loaded import Loaded, load, prepare
from tsugiki.backbones.source import Source
from tsugiki.backbones.text import TextBackbone

__all__ = [
    "Loaded",
    "Source",
    "TextBackbone",
    "check_weights",
    "ensure_graph",
    "find",
    "load",
    "names",
    "prepare",
    "read_folder",
]
