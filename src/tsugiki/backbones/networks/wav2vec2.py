"""wav2vec 2.0 of the Hugging Face format: raw samples to positions by convolutions, then a transformer.

Baevski et al. 2020, https://arxiv.org/abs/2006.11477. Its forward is written anew, for no row may feel the padding
beside it: where the first convolution is normed over time (`group`), the mean and the deviation are of a row's own
positions, so that a padded row is what it is alone. transformers' forward takes them over the padding too.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch and transformers leave what modules return unknown.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import layer_norm
from torch.nn.utils.parametrize import remove_parametrizations

from tsugiki.backbones.networks.pooling import JOINED, mean, scaled
from tsugiki.backbones.networks.pretrained import only_modules_learn, read_pretrained

if TYPE_CHECKING:
    from tsugiki.backbones.networks import Attention
    from tsugiki.backbones.source import Source


def features(source: Source, attention: Attention) -> torch.nn.Module:
    """(wave (batch, samples) float32, mask (batch, samples) int64) -> features (batch, feature_dim) float32, length 1.

    Raises Mismatch.
    """
    encoder: Any = read_pretrained(source, attention)  # Any: transformers' own
    remove_parametrizations(encoder.encoder.pos_conv_embed.conv, "weight")  # the product alone is in the graph
    only_modules_learn(encoder)
    encoder.feature_extractor.requires_grad_(False)  # as everybody who fine-tunes it does
    return WaveFeatures(encoder, source.middle).eval()


class WaveFeatures(torch.nn.Module):
    """The mean over time of the last block's yield and, beside it, of block `middle`'s."""

    def __init__(self, encoder: Any, middle: int | None) -> None:  # Any: transformers' own
        super().__init__()
        self.encoder = encoder
        self.middle = middle
        self.lower: torch.Tensor | None = None
        # Counted from above, for in training something else may stand for the lowest blocks.
        self._above = None if middle is None else middle - encoder.config.num_hidden_layers
        self._norm_first = bool(encoder.config.do_stable_layer_norm)

    def forward(self, wave: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        encoder: Any = self.encoder  # Any: as above
        blocks = encoder.encoder
        hidden, here = self._positions(wave, mask)
        hidden = encoder.feature_projection(hidden)[0] * here.unsqueeze(-1).to(hidden.dtype)
        hidden = hidden + blocks.pos_conv_embed(hidden)
        if not self._norm_first:
            hidden = blocks.layer_norm(hidden)
        unseen = (1 - here[:, None, None, :]).to(hidden.dtype) * torch.finfo(hidden.dtype).min
        middle = hidden
        for place, block in enumerate(blocks.layers, 1 - len(blocks.layers)):
            hidden = block(hidden, unseen)
            if place == self._above:
                middle = hidden
        last = (blocks.layer_norm(hidden) if self._norm_first else hidden).float()
        pooled = scaled(mean(last, here))
        if self.middle is None:
            return pooled
        lower = self.lower
        if lower is None:
            # Without the norm a few numbers of the stream may be so large that they would be nearly all of the mean.
            lower = scaled(mean(layer_norm(middle.float(), middle.shape[-1:]), here)) * JOINED
        return torch.cat([pooled * JOINED, lower], dim=-1)

    def _positions(self, wave: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, positions, width) of the convolutions, and (batch, positions) float32: 1 where one is the row's."""
        layers = self.encoder.feature_extractor.conv_layers
        lengths = mask.sum(1)
        hidden = wave.to(layers[0].conv.weight.dtype).unsqueeze(1)
        here = mask
        for layer in layers:
            kernel, stride = layer.conv.kernel_size[0], layer.conv.stride[0]
            hidden = layer.conv(hidden)
            lengths = torch.div(lengths - kernel, stride, rounding_mode="floor") + 1
            here = torch.arange(hidden.shape[-1], device=wave.device).unsqueeze(0) < lengths.unsqueeze(1)
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, torch.nn.GroupNorm):
                hidden = _normed_over_time(hidden, here, norm)
            elif norm is not None:
                hidden = norm(hidden.transpose(1, 2)).transpose(1, 2)
            hidden = layer.activation(hidden)
        return hidden.transpose(1, 2), here.float()


def _normed_over_time(hidden: torch.Tensor, here: torch.Tensor, norm: torch.nn.GroupNorm) -> torch.Tensor:
    """Each channel (batch, channels, positions) by the mean and the deviation of the positions that are the row's."""
    counted = here.unsqueeze(1).float()
    count = counted.sum(-1, keepdim=True).clamp(min=1.0)
    off = hidden.float() - (hidden.float() * counted).sum(-1, keepdim=True) / count
    variance = (off.square() * counted).sum(-1, keepdim=True) / count
    normed = (off * torch.rsqrt(variance + norm.eps)).to(hidden.dtype)
    return normed * norm.weight.unsqueeze(-1) + norm.bias.unsqueeze(-1)
