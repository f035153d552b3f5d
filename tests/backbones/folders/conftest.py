"""Each tiny folder read, compiled in this process, and served as an engine would."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.folders import write_folder
from tsugiki.backbones import Loaded, check_weights, read_folder
from tsugiki.backbones.graph import compile_graph
from tsugiki.backbones.loaded import outside
from tsugiki.data.decoding.pool import DecoderPool


@pytest.fixture(scope="session")
def decoder() -> Iterator[DecoderPool]:
    pool = DecoderPool(1)
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def loaded(decoder: DecoderPool, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Loaded]:
    """By kind. What `prepare` does, without a compiler's process for each, which would import torch anew."""

    @cache
    def load(kind: str) -> Loaded:
        folder = write_folder(kind, tmp_path_factory.mktemp("folder") / kind)
        source = read_folder(kind, folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch's exporter about torch itself
            compile_graph(source, folder / "graph.onnx")
        return Loaded(source, outside(source, check_weights(source), decoder), folder / "graph.onnx")

    return load
