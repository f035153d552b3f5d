"""What every folder of pictures or sounds must do: transformers' own features, whatever stands beside a row."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportCallIssue=false
# torch and transformers leave much unknown.

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from tests.folders import write_folder
from tests.runtime.adapting import drawn_lora, shapes_of
from tsugiki.backbones import Loaded, check_weights, read_folder
from tsugiki.backbones.graph import features_module
from tsugiki.backbones.loaded import outside
from tsugiki.data.decoding.pool import DecoderPool
from tsugiki.domain import Content, LoraDelta, WeightsDelta
from tsugiki.runtime.engines.making import Cores, make
from tsugiki.runtime.engines.onnx import OnnxEngine
from tsugiki.runtime.engines.torch import TorchEngine
from tsugiki.runtime.loras import LoraBank
from tsugiki.training.network import used_parameters

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow

GRAPHS = ("dinov2",)  # those that are compiled here, some seconds each: all others differ from one in sizes alone
SHAPES = ((64, 64), (97, 97), (80, 60))


def picture(width: int, height: int, seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def contents(loaded: Loaded) -> list[Content]:
    """As unequal as inputs are."""
    return [png(picture(*shape, seed)) for seed, shape in enumerate(SHAPES)]


def rows_of(loaded: Loaded) -> list[InputRow]:
    return [prepared.row for prepared in loaded.backbone.prepare(contents(loaded))]


@pytest.fixture(scope="module", params=GRAPHS)
def network(request: pytest.FixtureRequest, loaded: Callable[[str], Loaded]) -> Loaded:
    return loaded(request.param)


@pytest.fixture(scope="module")
def rows(network: Loaded) -> list[InputRow]:
    return rows_of(network)


@pytest.fixture(scope="module")
def engine(network: Loaded) -> OnnxEngine:
    return OnnxEngine(network, threads=1)


def test_a_row_s_features_are_the_same_alone_and_in_a_batch(engine: OnnxEngine, rows: list[InputRow]) -> None:
    alone = np.concatenate([engine.run([row]) for row in rows])
    np.testing.assert_allclose(engine.run(rows), alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1.0, atol=1e-5)
    assert np.abs(alone[0] - alone[1]).max() > 1e-2, "rows differ"


def test_each_adapter_s_rows_are_as_by_torch(network: Loaded, engine: OnnxEngine, rows: list[InputRow]) -> None:
    delta = drawn_lora(network, 1, everywhere=True)
    bank = LoraBank(lambda: shapes_of(network.graph), "float32", 1 << 20)
    slot = bank.load(delta)
    found = engine.run(rows[:2], bank.adapters(slot.rack, np.array([0, slot.index])))
    np.testing.assert_allclose(found[0], engine.run(rows[:1])[0], atol=1e-5)
    np.testing.assert_allclose(
        found[1],
        TorchEngine(network.source, merged(network, delta), device="cpu", precision="fp32").run(rows)[1],
        atol=1e-5,
    )
    assert np.abs(found[1] - engine.run(rows)[1]).max() > 1e-2, "the adapter does something"


def merged(network: Loaded, delta: LoraDelta) -> dict[str, Floats]:
    encoder = features_module(network.source).get_submodule("encoder")
    found: dict[str, Floats] = {}
    for module, pair in delta.modules.items():
        own: Floats = encoder.get_parameter(f"{module}.weight").detach().numpy()
        found[f"{module}.weight"] = np.add(own, (pair.down @ pair.up).T, dtype=np.float32)
    return found


def test_all_that_may_be_trained_may_be_replaced(network: Loaded, rows: list[InputRow]) -> None:
    random = np.random.default_rng(0)
    encoder = features_module(network.source).get_submodule("encoder")
    tensors = {
        name: (value.detach().numpy() + 0.1 * random.standard_normal(value.shape)).astype(np.float32)
        for name, value in used_parameters(encoder).items()
    }
    own = make("onnxruntime", network, WeightsDelta(tensors), Cores(1, 1)).run(rows)
    by_torch = TorchEngine(network.source, tensors, device="cpu", precision="fp32").run(rows)
    np.testing.assert_allclose(own, by_torch, atol=1e-5)
    assert np.abs(own - OnnxEngine(network, threads=1).run(rows)).max() > 1e-2


@pytest.mark.parametrize("kind", ["vit", "deit", "dinov2"])
def test_a_picture_s_features_are_transformers_own(kind: str, tmp_path: Path, decoder: DecoderPool) -> None:
    """By its own processor and model. Here and there a pixel is rounded the other way, for we cut while we scale."""
    from transformers import AutoImageProcessor, AutoModel

    source = read_folder(kind, write_folder(kind, tmp_path))
    backbone = outside(source, check_weights(source), decoder)
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    model, ours = AutoModel.from_pretrained(tmp_path), features_module(source)
    first = 2 if kind == "deit" else 1
    assert source.levels is not None
    for seed, shape in enumerate(SHAPES):
        image = picture(*shape, seed)
        wanted = processor(images=image, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
        (row,) = backbone.prepare([png(image)])
        step = 1 / np.array(source.levels.spread)
        found = (row.row - np.array(source.levels.middle)) * step
        assert np.abs(found - wanted).max() < 1.01 * step.max()
        assert np.mean(np.abs(found - wanted) > 1e-4) < 0.01
        pixels = torch.from_numpy(found.astype(np.float32)).permute(2, 0, 1)[None]
        with torch.no_grad():
            hidden = model(pixel_values=pixels).last_hidden_state
            features = ours(torch.from_numpy(row.row.copy())[None])
        parts = hidden[:, :first].mean(1), hidden[:, first:].mean(1)
        torch.testing.assert_close(features, torch.cat([normalize(part, dim=-1) for part in parts], dim=-1) * 0.5**0.5)
