"""From what a network yields at each token, position or place to one vector."""

from __future__ import annotations

import torch

JOINED = 0.5**0.5  # of two vectors of length 1, so that a feature's is 1 too


def mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(batch, places, dim) and (batch, places), 1 where one counts -> (batch, dim)."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0)


def scaled(pooled: torch.Tensor) -> torch.Tensor:
    """(batch, dim), each row of length 1."""
    return torch.nn.functional.normalize(pooled, dim=-1)
