"""A linear module with LoRA matrices beside it, as one operation: no sums or scales in between, nothing kept twice."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportIncompatibleMethodOverride=false, reportUntypedBaseClass=false
# torch's annotations leave what functions with gradients of their own are given unknown.

from __future__ import annotations

from typing import Any

import torch


class LowRankLinear(torch.autograd.Function):
    """x (..., in) -> x @ weight.T + bias + (x @ down.T) @ up.T, (..., out); gradients for x, `down` and `up` only.

    `weight` (out, in), `bias` (out,) or None, `down` (rank, in) and `up` (out, rank) are as torch and peft keep them.
    """

    @staticmethod
    def forward(
        ctx: Any,  # torch's
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
    ) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        low = flat @ down.t()
        product = torch.nn.functional.linear(flat, weight, bias)
        product.addmm_(low, up.t())
        ctx.save_for_backward(flat, low, weight, down, up)
        return product.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, low, weight, down, up = ctx.saved_tensors
        out = gradients[0].reshape(-1, weight.shape[0])
        below = out @ up
        for_x = None
        if ctx.needs_input_grad[0]:
            for_x = out @ weight
            for_x.addmm_(below, down)
            for_x = for_x.view(*gradients[0].shape[:-1], -1)
        return for_x, None, None, below.t() @ flat, out.t() @ low
