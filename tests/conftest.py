"""A tiny real BERT with random weights, and its compiled graph, for every part that needs a backbone."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# safetensors and tokenizers leave some arguments untyped.

from __future__ import annotations

import json
import shutil
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from service.launch import Running, serving
from tests.unpickling import forbid_unpickling
from tsugiki.backbones import Loaded, Source, load

forbid_unpickling()

DIM, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 4, 64, 64
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "the a i my is was to of in it for please help card money refund pay account bill order late lost new cancel "
    "password login reset change address phone parcel delivery arrive price charge twice wrong broken thanks bad good "
    "great terrible love hate film music weather rain sun today tomorrow open close where when how why what who"
)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder: BERT, hidden 32, 2 layers, about 2,000 tokens, at most 64 of them a text."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    vocabulary = _vocabulary()
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": DIM,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "vocab_size": len(vocabulary),
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    _tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    save_file(_weights(len(vocabulary)), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path, pytestconfig: pytest.Config) -> Loaded:
    """The tiny backbone, loaded; compiled once and kept between runs, as the cache is content-addressed."""
    assert pytestconfig.cache is not None
    return load("tiny", {"tiny": tiny_folder}, pytestconfig.cache.mkdir("graphs"))


@pytest.fixture(scope="session")
def tiny_source(tiny: Loaded) -> Source:
    return tiny.source


@pytest.fixture(scope="session")
def tiny_graph(tiny: Loaded) -> Path:
    return tiny.graph


@pytest.fixture(scope="session")
def tiny_environment(tiny: Loaded) -> dict[str, str]:
    """What makes a service serve the tiny backbone as its default."""
    return {
        "TSUGIKI_BACKBONES": json.dumps({"tiny": str(tiny.source.folder)}),
        "TSUGIKI_TEXT_BACKBONE": "tiny",
        "TSUGIKI_ENGINE": "onnxruntime",  # which of two engines is faster on a tiny network is a matter of chance
    }


@pytest.fixture(scope="session")
def make_home(tiny: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Fresh homes that hold the compiled graph already, so that a service in them starts in seconds."""

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


def _vocabulary() -> list[str]:
    ranges = ((0x21, 0x7F), (0xA1, 0x180), (0x3B1, 0x3CA), (0x430, 0x450), (0x3041, 0x3097), (0x30A1, 0x30FB))
    characters = [chr(code) for first, end in ranges for code in range(first, end)]
    pairs = [a + b for a in string.ascii_lowercase for b in "aeioustrn"]
    pieces = ["##" + piece for piece in (*characters, *pairs)]
    return list(dict.fromkeys([*SPECIAL, *WORDS.split(), *characters, *pieces, *"😀🎉日本語"]))


def _tokenizer(vocabulary: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(token, vocabulary.index(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _weights(tokens: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)

    def normal(*shape: int, scale: float) -> np.ndarray:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    # Word vectors far larger than positions: texts of different words then lie far apart, as in a trained network.
    weights = {
        "embeddings.word_embeddings.weight": normal(tokens, DIM, scale=1.0),
        "embeddings.position_embeddings.weight": normal(POSITIONS, DIM, scale=0.1),
        "embeddings.token_type_embeddings.weight": normal(2, DIM, scale=0.1),
    }
    for i in range(LAYERS):
        dense = {
            "attention.self.query": (DIM, DIM),
            "attention.self.key": (DIM, DIM),
            "attention.self.value": (DIM, DIM),
            "attention.output.dense": (DIM, DIM),
            "intermediate.dense": (INNER, DIM),
            "output.dense": (DIM, INNER),
        }
        for name, shape in dense.items():
            weights[f"encoder.layer.{i}.{name}.weight"] = normal(*shape, scale=0.1)
            weights[f"encoder.layer.{i}.{name}.bias"] = normal(shape[0], scale=0.1)
    norms = [f"encoder.layer.{i}.{part}" for i in range(LAYERS) for part in ("attention.output", "output")]
    for norm in ("embeddings", *norms):
        weights[f"{norm}.LayerNorm.weight"] = np.ones(DIM, np.float32)
        weights[f"{norm}.LayerNorm.bias"] = np.zeros(DIM, np.float32)
    return weights
