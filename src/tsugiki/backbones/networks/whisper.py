"""Whisper's encoder: its weights from a CTranslate2 file, and one feature vector of a sound.

Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", https://arxiv.org/abs/2212.04356.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportCallIssue=false, reportArgumentType=false
# torch and transformers leave what modules return unknown, and transformers the fields of its configurations.

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import gelu, layer_norm, normalize
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from tsugiki.backbones.networks.ctranslate2 import Malformed, Variables, read_variables
from tsugiki.errors import Unavailable

if TYPE_CHECKING:
    from tsugiki.backbones.networks import Attention
    from tsugiki.backbones.source import Source


SPEC, PREFIX = "WhisperSpec", "encoder/"
BLOCK = re.compile(r"layer_(\d+)/")
FUSED = ("q_proj", "k_proj", "v_proj")  # rows of one matrix in the file, in this order
UNBIASED = "k_proj"  # a bias of the keys shifts a query's logits alike and changes nothing; the file has zeros there
# torch's name -> the file's, of what has weight and bias
PLACES = {
    "self_attn_layer_norm": "self_attention/layer_norm",
    "self_attn.out_proj": "self_attention/linear_1",
    "final_layer_norm": "ffn/layer_norm",
    "fc1": "ffn/linear_0",
    "fc2": "ffn/linear_1",
}
# Spoken digits (FSDD, 300 to test on), logistic regression on features of length 1; accuracies in % for C = 10, 100:
#                                       numbers  2,700 to learn from  10 a label, 5 draws  300 of two voices, on four
#   last block, mean                        384       96.7  96.3          94.7  95.2             94.0  93.9
#   last, mean and deviation                768       96.0  96.3          94.7  95.4             94.0  93.8
#   last and block 2, means                 768       98.7  99.7          96.2  96.5             94.9  94.4
#     the same without a norm on block 2    768       98.3  97.0          95.4  95.3             94.4  94.1
#   last and block 2, means, deviations   1,536       98.7  98.3          96.0  95.8             94.6  94.8
#   block 3, mean                           384       99.0  98.7          96.9  97.1             94.3  94.2
# and in five folds of all 3,000: 98.2 98.7 (last, mean), 98.8 99.3 (last and block 2, means), 98.3 98.8 (block 3).
MIDDLE, SPREAD = 2, False
# Added to a variance: a sound of one position has none, yet its features have a length and a gradient. The exporter
# takes 1e-8 for zero and leaves the addition out.
STILL = 1e-6


def features(source: Source, attention: Attention) -> torch.nn.Module:
    """(mel, mask) -> features, as WhisperFeatures says, in eval mode. Raises Unavailable as `read_encoder` does."""
    return WhisperFeatures(read_encoder(source.weights, attention), middle=source.middle).eval()


def read_encoder(weights: Path, attention: Attention = "eager") -> WhisperEncoder:
    """The encoder in eval mode, float32, every weight of it from the file.

    "eager" attention is for the exporter, "sdpa" for torch itself: the same values, faster. Raises Unavailable
    (`backbone_unsupported`): the file is cut short or of another kind, or weights are missing.
    """
    try:
        variables = read_variables(weights, SPEC, PREFIX)
        with torch.device("meta"):  # so that no memory is taken, nor filled at random, before shapes are compared
            encoder = WhisperEncoder(_config(variables, attention))
        encoder.load_state_dict(_state(variables, encoder.config.encoder_layers), strict=True, assign=True)
    except (Malformed, RuntimeError) as error:  # a RuntimeError is how torch tells of wrong shapes
        detail = f"{weights} is no Whisper model of CTranslate2: {error}"
        raise Unavailable(detail, code="backbone_unsupported") from error
    return encoder.eval()


class WhisperFeatures(torch.nn.Module):
    """(mel (batch, frames, 80) float32, mask (batch, frames) int64) -> features (batch, feature_dim) float32, length 1.

    Frames are even in number, in the batch and in each row of it. A row's features do not feel the padding beside it.
    `middle` is the block whose yield is pooled beside the last one's, `spread` whether the standard deviation over time
    stands behind each mean. Where the blocks up to `middle` do not run, `lower` is to be set to their part of the
    batch's features, which are the last ones.
    """

    def __init__(self, encoder: WhisperEncoder, *, middle: int | None = MIDDLE, spread: bool = SPREAD) -> None:
        super().__init__()
        blocks = encoder.config.encoder_layers
        if middle is not None and not 0 < middle <= blocks:
            raise ValueError(f"there is no block {middle} of {blocks}")
        self.encoder = encoder
        self.middle = middle
        self.spread = spread
        self.lower: torch.Tensor | None = None
        self.parts = (1 if middle is None else 2) * (2 if spread else 1)
        self.feature_dim = self.parts * encoder.config.d_model
        # Counted from above, for in training something else may stand for the lowest blocks.
        self._above = None if middle is None else middle - blocks

    def forward(self, mel: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        encoder = self.encoder
        # The first convolution alone reaches beyond a row's end, where it is to see its own padding: zeros. The second
        # starts each position at an even frame and reaches one further, which is still the row's.
        heard = (mel * mask.unsqueeze(-1)).to(encoder.conv1.weight.dtype)
        hidden = gelu(encoder.conv1(heard.transpose(1, 2)))
        hidden = gelu(encoder.conv2(hidden)).transpose(1, 2)
        hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
        here = mask[:, ::2].to(mel.dtype)  # means are taken in float32, whatever the network computes in
        unseen = (1 - here[:, None, None, :]).to(hidden.dtype) * torch.finfo(hidden.dtype).min
        middle = hidden
        for place, block in enumerate(encoder.layers, 1 - len(encoder.layers)):
            hidden = block(hidden, unseen)
            if place == self._above:
                middle = hidden
        pooled = self._pool(encoder.layer_norm(hidden).to(mel.dtype), here)
        if self.middle is None:
            return pooled
        lower = self.lower
        if lower is None:
            # Without the norm a few numbers of the stream are so large that they would be nearly all of the mean.
            lower = self._pool(layer_norm(middle.to(mel.dtype), middle.shape[-1:]), here)
        return torch.cat([pooled, lower], dim=-1)

    def _pool(self, hidden: torch.Tensor, here: torch.Tensor) -> torch.Tensor:
        """(batch, positions, dim) -> over a row's positions the mean, perhaps the deviation, as parts are scaled."""
        weights = (here / here.sum(1, keepdim=True).clamp(min=1)).unsqueeze(-1)
        mean = (hidden * weights).sum(1)
        found = [mean]
        if self.spread:
            found.append((((hidden - mean.unsqueeze(1)) ** 2 * weights).sum(1) + STILL).sqrt())
        return torch.cat([normalize(part, dim=-1) for part in found], dim=-1) * self.parts**-0.5


def _config(variables: Variables, attention: Attention) -> WhisperConfig:
    """What the shapes say; the rest of it is Whisper's everywhere."""
    dim, bins = _shape(variables, "conv1/weight", 3)[:2]
    blocks = {int(found[1]) for name in variables if (found := BLOCK.match(name))}
    heads = variables.get("num_heads")
    if heads is None or heads.size != 1 or int(heads.item()) < 1 or dim % int(heads.item()):
        raise Malformed(f"its number of attention heads does not divide {dim}")
    return WhisperConfig(
        d_model=dim,
        num_mel_bins=bins,
        encoder_layers=len(blocks),
        encoder_attention_heads=int(heads.item()),
        encoder_ffn_dim=_shape(variables, "layer_0/ffn/linear_0/weight", 2)[0],
        attn_implementation=attention,
        max_source_positions=_shape(variables, "position_encodings/encodings", 2)[0],
    )


def _shape(variables: Variables, name: str, rank: int) -> tuple[int, ...]:
    found = variables.get(name)
    if found is None or found.ndim != rank:
        raise Malformed(f"{name} is missing or has not {rank} dimensions")
    return found.shape


def _state(variables: Variables, blocks: int) -> dict[str, torch.Tensor]:
    """The encoder's parameters by torch's names."""

    def tensor(name: str) -> torch.Tensor:
        found = variables.get(name)
        if found is None or not np.issubdtype(found.dtype, np.floating):
            raise Malformed(f"{name} is missing or is not of floating-point numbers")
        return torch.from_numpy(found.astype(np.float32))

    def put(ours: str, theirs: str) -> None:
        norm = theirs.endswith("layer_norm")
        state[f"{ours}.weight"] = tensor(f"{theirs}/{'gamma' if norm else 'weight'}")
        state[f"{ours}.bias"] = tensor(f"{theirs}/{'beta' if norm else 'bias'}")

    state = {"embed_positions.weight": tensor("position_encodings/encodings")}
    for module in ("conv1", "conv2", "layer_norm"):
        put(module, module)
    for block in range(blocks):
        ours, theirs = f"layers.{block}", f"layer_{block}"
        for module, place in PLACES.items():
            put(f"{ours}.{module}", f"{theirs}/{place}")
        for part in ("weight", "bias"):
            rows = tensor(f"{theirs}/self_attention/linear_0/{part}").tensor_split(len(FUSED))
            for module, value in zip(FUSED, rows, strict=True):
                if (module, part) != (UNBIASED, "bias"):
                    state[f"{ours}.self_attn.{module}.{part}"] = value.clone()
    return state
