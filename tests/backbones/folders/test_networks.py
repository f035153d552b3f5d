"""What every folder of pictures or sounds must do: transformers' own features, whatever stands beside a row."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportCallIssue=false
# torch and transformers leave much unknown.

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn.functional import layer_norm, normalize

from tests.folders import SECONDS, SHAPES, contents, picture, png, tone, wav, write_folder
from tests.runtime.adapting import drawn_lora, shapes_of
from tsugiki.backbones import Loaded, check_weights, read_folder
from tsugiki.backbones.graph import features_module
from tsugiki.backbones.inputs import stack
from tsugiki.backbones.loaded import outside
from tsugiki.data.decoding.pool import DecoderPool
from tsugiki.domain import LoraDelta, WeightsDelta
from tsugiki.runtime.engines.making import Cores, make
from tsugiki.runtime.engines.onnx import OnnxEngine
from tsugiki.runtime.engines.torch import TorchEngine
from tsugiki.runtime.loras import LoraBank
from tsugiki.training.network import blocks_of, used_parameters

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow

# Those that are compiled here, some seconds each: the others differ from them in sizes and norms alone.
GRAPHS = ("dinov2", "wav2vec2-group", "ast")


def rows_of(loaded: Loaded) -> list[InputRow]:
    return [prepared.row for prepared in loaded.backbone.prepare(contents(loaded.source.modality))]


@pytest.fixture(scope="module", params=GRAPHS)
def network(request: pytest.FixtureRequest, loaded_folder: Callable[[str], Loaded]) -> Loaded:
    return loaded_folder(request.param)


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


def test_a_folder_tells_how_many_blocks_there_are(network: Loaded) -> None:
    found = len(blocks_of(features_module(network.source).get_submodule("encoder")))
    assert network.source.blocks == network.backbone.space.blocks == found


def test_a_row_counts_as_many_tokens_as_enter_the_blocks(network: Loaded) -> None:
    """What training keeps of the blocks below is cut by it."""
    module = features_module(network.source)
    seen: list[int] = []

    def look(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        seen.append(given[0].shape[1])

    blocks_of(module.get_submodule("encoder"))[0].register_forward_pre_hook(look)
    prepared = network.backbone.prepare(contents(network.source.modality))
    for row in prepared:
        with torch.no_grad():
            module(*(torch.from_numpy(part) for part in stack([row.row]).values()))
    assert seen == [row.size for row in prepared]


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


@pytest.mark.parametrize("kind", ["wav2vec2-group", "wav2vec2-layer"])
def test_a_sound_s_features_are_transformers_own_whatever_is_beside_it(
    kind: str, tmp_path: Path, decoder: DecoderPool
) -> None:
    """By its own processor and model of each sound alone: beside longer ones it takes norms over the padding too."""
    from transformers import AutoFeatureExtractor, AutoModel

    source = read_folder(kind, write_folder(kind, tmp_path))
    backbone = outside(source, check_weights(source), decoder)
    processor, model = AutoFeatureExtractor.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)
    sounds = [tone(seconds) for seconds in SECONDS]
    rows = [prepared.row for prepared in backbone.prepare([wav(sound) for sound in sounds])]
    with torch.no_grad():
        features = features_module(source)(*(torch.from_numpy(part) for part in stack(rows).values()))
    for place, sound in enumerate(sounds):
        given = processor(sound, sampling_rate=16_000, return_tensors="pt")["input_values"]
        np.testing.assert_allclose(rows[place][: len(sound)], given[0].numpy(), atol=1e-4)
        filled = torch.nn.functional.pad(given, (0, max(0, len(rows[place]) - len(sound))))
        with torch.no_grad():
            found = model(filled, output_hidden_states=True)
        parts = found.last_hidden_state.mean(1), layer_norm(found.hidden_states[1], (16,)).mean(1)
        wanted = torch.cat([normalize(part, dim=-1) for part in parts], dim=-1) * 0.5**0.5
        torch.testing.assert_close(features[place : place + 1], wanted, atol=2e-4, rtol=0)


def test_a_spectrogram_s_features_are_transformers_own(tmp_path: Path, decoder: DecoderPool) -> None:
    from transformers import AutoFeatureExtractor, AutoModel

    source = read_folder("ast", write_folder("ast", tmp_path))
    processor, model = AutoFeatureExtractor.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)
    prepared = outside(source, check_weights(source), decoder).prepare([wav(tone(seconds)) for seconds in SECONDS])
    assert [row.truncated for row in prepared] == [False, False, True]
    for seconds, row in zip(SECONDS[1:], prepared[1:], strict=True):  # of less than a frame transformers sees nothing
        given = processor(tone(seconds), sampling_rate=16_000, return_tensors="pt")["input_values"]
        np.testing.assert_allclose(row.row, given[0].numpy(), atol=1e-3)
        with torch.no_grad():
            ours = features_module(source)(*(torch.from_numpy(part) for part in stack([row.row]).values()))
            wanted = normalize(model(given).pooler_output, dim=-1)
        torch.testing.assert_close(ours, wanted, atol=1e-3, rtol=0)
