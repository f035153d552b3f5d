"""A tiny real BERT, its compiled graph, and services around it, for every part that needs a backbone."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from service.launch import Running, serving
from tests import postgres as postgres_server
from tests import s3 as s3_server
from tests.folders import write_folder
from tests.ngrams import write_tiny as write_tiny_ngrams
from tests.tiny import WIDE, write_tiny
from tests.unpickling import forbid_unpickling
from tsugiki.backbones import Loaded, Source, check_weights, load, prepare, read_folder
from tsugiki.backbones.graph import compile_graph
from tsugiki.backbones.loaded import outside
from tsugiki.data.decoding.pool import DecoderPool

forbid_unpickling()
# Each service would have a trainer beside it, which most tests have no use for; those that have one say so.
os.environ.setdefault("TSUGIKI_TRAINER", "off")
# The processes that run tests beside one another share the cores; each starts with what the first one sets here.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-bert")
    write_tiny(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path, pytestconfig: pytest.Config) -> Loaded:
    """The tiny backbone, loaded; compiled once and kept between runs, as the cache is content-addressed."""
    assert pytestconfig.cache is not None
    return load("tiny", {"tiny": tiny_folder}, pytestconfig.cache.mkdir("graphs"))


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Loaded:
    """The same with products that are worth 8 bits; kept likewise."""
    assert pytestconfig.cache is not None
    folder = tmp_path_factory.mktemp("wide-bert")
    write_tiny(folder, WIDE)
    return load("wide", {"wide": folder}, pytestconfig.cache.mkdir("graphs"))


@pytest.fixture(scope="session")
def ngrams(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Loaded:
    """A tiny network without attention, whose texts are cut by SentencePiece; kept likewise."""
    assert pytestconfig.cache is not None
    source = write_tiny_ngrams(tmp_path_factory.mktemp("tiny-ngrams"))
    return prepare(source, pytestconfig.cache.mkdir("graphs"))


@pytest.fixture(scope="session")
def tiny_source(tiny: Loaded) -> Source:
    return tiny.source


@pytest.fixture(scope="session")
def tiny_graph(tiny: Loaded) -> Path:
    return tiny.graph


@pytest.fixture(scope="session")
def decoder() -> Iterator[DecoderPool]:
    pool = DecoderPool(1)
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def loaded_folder(decoder: DecoderPool, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Loaded]:
    """By kind. What `prepare` does, without a compiler's process for each, which would import torch anew."""

    @cache
    def compiled(kind: str) -> Loaded:
        folder = write_folder(kind, tmp_path_factory.mktemp("folder") / kind)
        source = read_folder(kind, folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's exporter, about torch itself and names of axes
            compile_graph(source, folder / "graph.onnx")
        return Loaded(source, outside(source, check_weights(source), decoder), folder / "graph.onnx")

    return compiled


@pytest.fixture(scope="session")
def tiny_environment(tiny: Loaded) -> dict[str, str]:
    """What makes a service serve the tiny backbone as its default."""
    return {
        "TSUGIKI_BACKBONES": json.dumps({"tiny": str(tiny.source.folder)}),
        "TSUGIKI_TEXT_BACKBONE": "tiny",
        # The multilingual ones take half a minute to compile, and recommending to a project tries all there are.
        "TSUGIKI_OFFERED": json.dumps(["tiny", "minilm-en", "efficientnet-lite0", "whisper-tiny-en"]),
        "TSUGIKI_ENGINE": "onnxruntime",  # which of two engines is faster on a tiny network is a matter of chance
    }


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.Server]:
    """A PostgreSQL server, started once somebody asks for it; each test makes databases of its own."""
    with postgres_server.running() as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.Server]:
    """A server of S3's protocol, started once somebody asks for it, and known to this process from then on."""
    with s3_server.running(tmp_path_factory.mktemp("s3") / "log") as server:
        os.environ.update(server.environment)
        yield server


@pytest.fixture(scope="session")
def make_home(
    tiny: Loaded, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Callable[[], Path]:
    """Fresh homes that share their compiled graphs: what one service compiles, or its trainer measures, all have."""
    assert pytestconfig.cache is not None
    shared = pytestconfig.cache.mkdir("graphs")

    def make() -> Path:
        home = tmp_path_factory.mktemp("home")
        (home / "graphs").symlink_to(shared)
        return home

    return make


@pytest.fixture(scope="session")
def make_lone_home(tiny: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Fresh homes with graphs of their own, of which the tiny network's is compiled: for whoever changes them."""

    def make() -> Path:
        home = tmp_path_factory.mktemp("home")
        graphs = home / "graphs"
        graphs.mkdir()
        for path in (tiny.graph, tiny.graph.with_suffix(".sha256")):
            shutil.copy(path, graphs)
        return home

    return make


@pytest.fixture(scope="session")
def server(make_home: Callable[[], Path], tiny_environment: dict[str, str]) -> Iterator[Running]:
    """One running service for the tests that do no harm to others: each makes projects or tenants of its own."""
    with serving(make_home(), env=tiny_environment) as running:
        yield running
