"""Text encoders of the Hugging Face format, read by transformers."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' types leave much unknown.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from tsugiki.backbones.networks.pooling import JOINED, mean, scaled
from tsugiki.backbones.networks.pretrained import read_pretrained

if TYPE_CHECKING:
    from tsugiki.backbones.networks import Attention
    from tsugiki.backbones.source import Source


def features(source: Source, attention: Attention) -> torch.nn.Module:
    """(input_ids, attention_mask), both (batch, tokens) int64 -> features (batch, feature_dim) float32, in eval mode.

    Raises Mismatch.
    """
    encoder = read_pretrained(source, attention)
    return TextFeatures(encoder, source.middle, first_token=source.pooling == "cls", normalise=source.normalise).eval()


class TextFeatures(torch.nn.Module):
    """Over an encoder of transformers; features are pooled from the last block, and from block `middle` beside it."""

    def __init__(
        self, encoder: torch.nn.Module, middle: int | None, *, first_token: bool = False, normalise: bool = True
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.middle = middle
        self.lower: torch.Tensor | None = None
        config: Any = encoder.config  # Any: torch takes it for a tensor or a module
        # Counted from above, for in training something else may stand for the lowest blocks.
        self._above = -1 if middle is None else middle - config.num_hidden_layers - 1
        self._first_token = first_token
        self._normalise = normalise

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        found = self.encoder(input_ids=ids, attention_mask=mask, output_hidden_states=self.middle is not None)
        last = found.last_hidden_state.float()
        pooled = self._scaled(last[:, 0] if self._first_token else mean(last, mask))
        if self.middle is None:
            return pooled
        lower = self.lower
        if lower is None:
            lower = self._scaled(mean(found.hidden_states[self._above].float(), mask)) * JOINED
        return torch.cat([pooled * JOINED, lower], dim=-1)

    def _scaled(self, pooled: torch.Tensor) -> torch.Tensor:
        return scaled(pooled) if self._normalise else pooled
