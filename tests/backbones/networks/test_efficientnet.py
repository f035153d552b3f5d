"""EfficientNet-Lite: norms folded exactly, TensorFlow's padding, adapters beside 1 x 1 convolutions."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's annotations leave what modules return unknown.

from __future__ import annotations

import warnings
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch

from tsugiki.backbones.bank_graph import write_bank_graph
from tsugiki.backbones.inputs import stack
from tsugiki.backbones.networks.efficientnet import (
    EPSILON,
    LOWER_PART,
    TOP,
    Convolution,
    EfficientNet,
    PictureFeatures,
    Stage,
    read_encoder,
)
from tsugiki.backbones.networks.weights import Mismatch
from tsugiki.backbones.replaced import change
from tsugiki.backbones.session import Session
from tsugiki.backbones.signature import FEATURES, PIXELS, SLOTS, down, up
from tsugiki.backbones.sites import linear_sites
from tsugiki.domain import LoraDelta, LoraPair, Prepared, WeightsDelta
from tsugiki.training import frozen
from tsugiki.training.costs import VIEWS
from tsugiki.training.frozen import Views, compute_views, replay_below

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow

SIDE = 32
STAGES = (Stage(1, 3, 1, 1, 8), Stage(1, 3, 2, 2, 8), Stage(1, 5, 2, 2, 16))
RANK = 3
MIDDLE = 2  # block, of three


@pytest.fixture(scope="module")
def module() -> PictureFeatures:
    torch.manual_seed(0)
    return PictureFeatures(EfficientNet(SIDE, STAGES), middle=MIDDLE).eval()


@pytest.fixture(scope="module")
def graph(module: PictureFeatures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As graph.py compiles it."""
    path = tmp_path_factory.mktemp("graph") / "tiny.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch's exporter about torch itself
        program = torch.onnx.export(
            module,
            (torch.zeros((2, SIDE, SIDE, 3), dtype=torch.uint8),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            opset_version=18,
            input_names=[PIXELS],
            output_names=[FEATURES],
            verbose=False,
        )
    assert program is not None
    program.save(path, external_data=False)
    return path


@pytest.fixture(scope="module")
def rows() -> list[InputRow]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(4)]


def features_of(module: torch.nn.Module, rows: list[InputRow]) -> Floats:
    with torch.no_grad():
        return module(torch.from_numpy(stack(rows)[PIXELS])).numpy()


def drawn(graph: Path, seed: int) -> LoraDelta:
    random = np.random.default_rng(seed)
    sites = linear_sites(onnx.load(graph))

    def matrix(*shape: int) -> Floats:
        return random.normal(0, 0.3, shape).astype(np.float32)

    return LoraDelta(
        {
            name: LoraPair(matrix(site.in_features, RANK), matrix(RANK, site.out_features))
            for name, site in sites.items()
        }
    )


def adapted(module: PictureFeatures, delta: LoraDelta, rows: list[InputRow]) -> Floats:
    """By torch: each matrix product added to the weights of its convolution."""
    kept = {name: parameter.detach().clone() for name, parameter in module.encoder.named_parameters()}
    with torch.no_grad():
        for name, pair in delta.modules.items():
            weight = module.encoder.get_parameter(f"{name}.weight")
            weight += torch.from_numpy((pair.down @ pair.up).T.copy()).reshape(weight.shape)
        found = features_of(module, rows)
        for name, values in kept.items():
            module.encoder.get_parameter(name).copy_(values)
    return found


def test_the_compiled_network_is_torch_s(module: PictureFeatures, graph: Path, rows: list[InputRow]) -> None:
    found = Session(graph, threads=1).run(FEATURES, stack(rows))
    np.testing.assert_allclose(found, features_of(module, rows), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)


def test_the_middle_block_is_heard_beside_the_top_and_fainter(module: PictureFeatures, rows: list[InputRow]) -> None:
    found = features_of(module, rows)
    top, middle = found[:, :TOP], found[:, TOP:]
    alone = features_of(PictureFeatures(module.encoder), rows)
    np.testing.assert_allclose(top / np.linalg.norm(top, axis=1, keepdims=True), alone, atol=1e-6)
    assert middle.shape == (len(rows), STAGES[1].width)
    lengths = np.linalg.norm(middle, axis=1) / np.linalg.norm(top, axis=1)
    np.testing.assert_allclose(lengths, LOWER_PART, atol=1e-5)


def test_there_is_no_middle_beyond_the_blocks() -> None:
    with pytest.raises(ValueError, match="no block 4 of 3"):
        PictureFeatures(EfficientNet(SIDE, STAGES), middle=4)


@pytest.mark.parametrize("first", [1, 2])
def test_the_lower_blocks_are_run_once_for_all_of_a_training(
    module: PictureFeatures, rows: list[InputRow], first: int
) -> None:
    """Where the middle one is above what is kept, and where it is below."""
    views = compute_views(module, [Prepared(row, 1) for row in rows], TOP, first, lambda: None)
    assert views is not None
    some = np.array([3, 0, 2])
    wanted = features_of(module, [rows[row] for row in some])
    above = deepcopy(module)
    replay = replay_below(above, first)

    def ask(random: torch.Generator | None = None) -> Floats:
        replay.hidden, above.lower = views.batch(some, random)
        assert (above.lower is None) == (first < MIDDLE)
        return features_of(above, [rows[row] for row in some])

    np.testing.assert_allclose(ask(), wanted, atol=1e-6)
    random = torch.Generator().manual_seed(0)
    asked = np.stack([ask(random) for _ in range(12)])
    kinds = {picture.tobytes() for picture in asked.round(5)[:, 0]}
    assert len(kinds) == VIEWS, "of a picture, in training, now this way, now the other"
    mirror = features_of(module, [rows[3][:, ::-1].copy()])[0]
    assert min(float(np.abs(one - mirror).max()) for one in asked[:, 0]) < 1e-6


def test_views_are_kept_where_there_is_room_for_them(
    module: PictureFeatures, rows: list[InputRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = [Prepared(row, 1) for row in rows]
    view_bytes = len(rows) * STAGES[0].width * (SIDE // 2) ** 2 * 4

    def kept(most_bytes: int) -> Views | None:
        monkeypatch.setattr(frozen, "MOST_KEPT_BYTES", most_bytes)
        return compute_views(module, prepared, TOP, 1, lambda: None)

    assert kept(VIEWS * view_bytes) is not None
    assert kept(VIEWS * view_bytes - 1) is None
    assert compute_views(module, prepared, TOP, 0, lambda: None) is None, "there is nothing below"


def test_every_1_x_1_convolution_is_a_site(module: PictureFeatures, graph: Path) -> None:
    wanted = {
        name
        for name, convolution in module.encoder.named_modules()
        if isinstance(convolution, torch.nn.Conv2d) and convolution.kernel_size == (1, 1)
    }
    assert set(linear_sites(onnx.load(graph))) == wanted
    assert "top" in wanted and "blocks.1.expand" in wanted and "stem" not in wanted


def test_rows_of_a_bank_are_answered_each_by_its_own_adapter(
    module: PictureFeatures, graph: Path, rows: list[InputRow], tmp_path: Path
) -> None:
    deltas = [drawn(graph, seed) for seed in (1, 2)]
    modules = tuple(deltas[0].modules)
    write_bank_graph(graph, tmp_path / "bank.onnx", modules, "float32")
    session = Session(tmp_path / "bank.onnx", threads=1)
    inputs = dict(stack(rows))
    for name in modules:
        pairs = [delta.modules[name] for delta in deltas]
        inputs[down(name)] = np.stack([np.zeros_like(pairs[0].down), *(pair.down for pair in pairs)])
        inputs[up(name)] = np.stack([np.zeros_like(pairs[0].up), *(pair.up for pair in pairs)])

    def ask(*slots: int) -> Floats:
        return session.run(FEATURES, {**inputs, SLOTS: np.array(slots, np.int64)})

    plain, first, second = features_of(module, rows), *(adapted(module, delta, rows) for delta in deltas)
    wanted = np.stack([plain[0], first[1], second[2], first[3]])
    np.testing.assert_allclose(ask(0, 1, 2, 1), wanted, atol=1e-5)
    np.testing.assert_allclose(ask(1, 2), np.concatenate([first[:2], second[2:]]), atol=1e-5)
    np.testing.assert_allclose(ask(0), plain, atol=1e-6)
    assert np.abs(ask(0, 2, 1, 1) - wanted).max() > 1e-3, "the wrong slots are seen"


@pytest.mark.parametrize("kind", ["lora", "weights"])
def test_a_changed_network_is_the_one_that_was_trained(
    module: PictureFeatures, graph: Path, rows: list[InputRow], tmp_path: Path, kind: str
) -> None:
    lora = drawn(graph, 3)
    wanted = adapted(module, lora, rows)
    delta = lora
    if kind == "weights":
        tensors = {name: values.detach().numpy().copy() for name, values in module.encoder.named_parameters()}
        for name, pair in lora.modules.items():
            tensors[f"{name}.weight"] += (pair.down @ pair.up).T.reshape(tensors[f"{name}.weight"].shape)
        delta = WeightsDelta(tensors)
    model = onnx.load(graph)
    change(model, delta)
    onnx.save(model, tmp_path / "changed.onnx")
    np.testing.assert_allclose(
        Session(tmp_path / "changed.onnx", threads=1).run(FEATURES, stack(rows)), wanted, atol=1e-5
    )


@pytest.mark.parametrize(("side", "kernel", "stride"), [(8, 3, 2), (7, 3, 2), (8, 5, 2), (9, 5, 1), (8, 3, 1)])
def test_padding_is_tensorflow_s(side: int, kernel: int, stride: int) -> None:
    """Of its "SAME": as many places as strides fit, the odd zero behind."""
    torch.manual_seed(0)
    convolution = Convolution(2, 3, kernel, stride, side)
    given = torch.randn(1, 2, side, side)
    out = -(-side // stride)
    total = max((out - 1) * stride + kernel - side, 0)
    padded = torch.nn.functional.pad(given, (total // 2, total - total // 2) * 2)
    wanted = torch.nn.functional.conv2d(padded, convolution.weight, convolution.bias, stride)
    assert wanted.shape[-1] == out
    torch.testing.assert_close(convolution(given), wanted)


def published(side: int) -> dict[str, torch.Tensor]:
    """A state dictionary as the packages bring it, random."""
    torch.manual_seed(1)
    encoder = EfficientNet(side)
    state: dict[str, torch.Tensor] = {"_fc.weight": torch.zeros(1), "_fc.bias": torch.zeros(1)}

    def put(convolution: str, norm: str, like: torch.nn.Conv2d) -> None:
        state[f"{convolution}.weight"] = torch.randn_like(like.weight) * 0.1
        state[f"{norm}.weight"], state[f"{norm}.bias"] = (
            torch.rand(like.out_channels) + 0.5,
            torch.randn(like.out_channels),
        )
        state[f"{norm}.running_mean"] = torch.randn(like.out_channels)
        state[f"{norm}.running_var"] = torch.rand(like.out_channels) + 0.5
        state[f"{norm}.num_batches_tracked"] = torch.tensor(1)

    put("_conv_stem", "_bn0", encoder.stem)
    put("_conv_head", "_bn1", encoder.top)
    for number, block in enumerate(encoder.blocks):
        for part, norm in {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}.items():
            if isinstance(like := getattr(block, part), torch.nn.Conv2d):
                put(f"_blocks.{number}._{part}_conv", f"_blocks.{number}.{norm}", like)
    return state


def test_folded_norms_compute_what_norms_do() -> None:
    state = published(224)
    encoder = read_encoder(state, 224)
    given = torch.randn(1, 3, 224, 224)
    norm = torch.nn.BatchNorm2d(32, eps=EPSILON).eval()
    norm.load_state_dict(
        {name.removeprefix("_bn0."): values for name, values in state.items() if name.startswith("_bn0.")}
    )
    padded = torch.nn.functional.pad(given, (0, 1, 0, 1))
    wanted = norm(torch.nn.functional.conv2d(padded, state["_conv_stem.weight"], stride=2))
    torch.testing.assert_close(encoder.stem(given), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("change_it", ["lacks", "more", "shape"])
def test_another_file_is_refused(change_it: str) -> None:
    state = published(224)
    if change_it == "lacks":
        del state["_blocks.3._bn1.running_var"]
    elif change_it == "more":
        state["_blocks.99._bn1.bias"] = torch.zeros(1)
    else:
        state["_conv_head.weight"] = torch.zeros(1_280, 8, 1, 1)
    with pytest.raises((Mismatch, RuntimeError)):
        read_encoder(state, 224)


def test_pictures_of_another_side_have_no_network() -> None:
    with pytest.raises(Mismatch, match="300"):
        read_encoder({}, 300)


def test_a_stage_is_widened_to_multiples_of_eight() -> None:
    wider = EfficientNet(SIDE, (STAGES[0], replace(STAGES[1], width=40), STAGES[2]), width=1.1)
    assert [block.project.out_channels for block in wider.blocks] == [8, 48, 16]  # pyright: ignore
