"""Vision transformers of the Hugging Face format: ViT, DeiT, DINOv2.

Features are the class token beside the mean over the patches, both of the last block behind its norm, as DINOv2 is used
for classification: Oquab et al. 2023, https://arxiv.org/abs/2304.07193. DeiT's second token, which learned from a
teacher, is averaged with the first, as its two heads are: Touvron et al. 2020, https://arxiv.org/abs/2012.12877.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch and transformers leave what modules return unknown.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from tsugiki.backbones.networks.pooling import JOINED, scaled
from tsugiki.backbones.networks.pretrained import only_modules_learn, read_pretrained

if TYPE_CHECKING:
    from tsugiki.backbones.networks import Attention
    from tsugiki.backbones.source import Levels, Source


def features(source: Source, attention: Attention) -> torch.nn.Module:
    """Pixels (batch, side, side, 3) uint8 -> features (batch, feature_dim) float32 of length 1. Raises Mismatch."""
    assert source.view is not None and source.levels is not None, "the folder says both; this is a bug"
    encoder = read_pretrained(source, attention)
    _fit_positions(encoder, source.view.size)
    only_modules_learn(encoder)
    return PatchFeatures(encoder, source.levels).eval()


class PatchFeatures(torch.nn.Module):
    """Over a vision transformer; each of the two parts of a feature is as long as the other."""

    def __init__(self, encoder: torch.nn.Module, levels: Levels) -> None:
        super().__init__()
        self.encoder = encoder
        self.middle: int | None = None
        self.lower: torch.Tensor | None = None
        self._levels = tuple(zip(levels.middle, levels.spread, strict=True))
        embeddings: Any = encoder.get_submodule("embeddings")  # Any: transformers' own
        self._first = 2 if hasattr(embeddings, "distillation_token") else 1

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        colours = [(pixels[..., n].float() - middle) / spread for n, (middle, spread) in enumerate(self._levels)]
        seen = torch.stack(colours, dim=1).to(next(self.encoder.parameters()).dtype)
        hidden = self.encoder(pixel_values=seen).last_hidden_state.float()
        parts = hidden[:, : self._first].mean(1), hidden[:, self._first :].mean(1)
        return torch.cat([scaled(part) for part in parts], dim=-1) * JOINED


def _fit_positions(encoder: torch.nn.Module, side: int) -> None:
    """Positions for pictures of that side, by the network's own interpolation, once and not in every pass."""
    embeddings: Any = encoder.get_submodule("embeddings")  # Any: transformers' own
    with torch.no_grad():
        weight = embeddings.patch_embeddings.projection.weight
        tokens = (side // weight.shape[-1]) ** 2 + embeddings.position_embeddings.shape[1]
        tokens -= embeddings.patch_embeddings.num_patches
        like = weight.new_empty((1, tokens, weight.shape[0]))
        positions = embeddings.interpolate_pos_encoding(like, side, side)
        embeddings.position_embeddings = torch.nn.Parameter(positions.detach().clone())
