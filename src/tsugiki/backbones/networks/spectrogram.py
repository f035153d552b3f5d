"""Audio Spectrogram Transformers of the Hugging Face format.

Gong et al. 2021, https://arxiv.org/abs/2104.01778: patches of a spectrogram of one length, silence behind the sound
included. A feature is the mean of its two class tokens behind the last norm, as its own classifier takes it.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch and transformers leave what modules return unknown.

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tsugiki.backbones.networks.pooling import scaled
from tsugiki.backbones.networks.pretrained import only_modules_learn, read_pretrained

if TYPE_CHECKING:
    from tsugiki.backbones.networks import Attention
    from tsugiki.backbones.source import Source


def features(source: Source, attention: Attention) -> torch.nn.Module:
    """(mel (batch, frames, bins) float32, mask) -> features (batch, dim) float32 of length 1. Raises Mismatch."""
    encoder = read_pretrained(source, attention)
    only_modules_learn(encoder)
    return SpectrogramFeatures(encoder).eval()


class SpectrogramFeatures(torch.nn.Module):
    """`mask` is of frames, and 1 everywhere, for all rows are of one length."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.middle: int | None = None
        self.lower: torch.Tensor | None = None

    def forward(self, mel: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        kind = next(self.encoder.parameters()).dtype
        hidden = self.encoder(input_values=mel.to(kind)).last_hidden_state.float()
        return scaled(hidden[:, :2].mean(1))
