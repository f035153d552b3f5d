"""Deltas for the tiny backbone: drawn ones, and LoRA matrices that peft has trained."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
# torch, peft and transformers leave much of their types unknown.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.backbones import Loaded
from tsugiki.backbones.graph import features_module
from tsugiki.backbones.inputs import stack
from tsugiki.backbones.sites import QUERY_AND_VALUE, linear_shapes
from tsugiki.domain import LoraDelta, LoraPair, WeightsDelta
from tsugiki.ports import Engine
from tsugiki.runtime.loras import LoraBank, grouped

if TYPE_CHECKING:
    import torch

    from tsugiki.domain import Floats, InputRow

ALPHA = 16
STEPS = 5
BANK_BYTES = 1 << 24


shapes_of = cache(linear_shapes)


def drawn_lora(loaded: Loaded, seed: int, *, rank: int = 4, everywhere: bool = False) -> LoraDelta:
    """Strong enough to move every feature visibly."""
    random = np.random.default_rng(seed)

    def matrix(*shape: int) -> Floats:
        return (0.3 * random.standard_normal(shape)).astype(np.float32)

    shapes = shapes_of(loaded.graph)
    chosen = [module for module in shapes if everywhere or module.rpartition(".")[2] in QUERY_AND_VALUE]
    return LoraDelta({m: LoraPair(matrix(shapes[m][0], rank), matrix(rank, shapes[m][1])) for m in chosen})


def drawn_weights(loaded: Loaded, seed: int) -> WeightsDelta:
    """The last block's output and a norm, replaced."""
    random = np.random.default_rng(seed)
    (*_, last) = shapes_of(loaded.graph).items()
    module, (width, dim) = last
    dense = (0.3 * random.standard_normal((dim, width))).astype(np.float32)
    # Of the tiny network all norms are equal, and kept once in its graph.
    norm = (1 + 0.3 * random.standard_normal(dim)).astype(np.float32)
    return WeightsDelta({f"{module}.weight": dense, "embeddings.LayerNorm.weight": norm})


def adapted(engine: Engine, loaded: Loaded, rows: Sequence[InputRow], deltas: Sequence[LoraDelta | None]) -> Floats:
    """Features of the rows in one pass, each with its own delta."""
    bank = LoraBank(lambda: shapes_of(loaded.graph), engine.bank_type, BANK_BYTES)
    slots = {id(delta): bank.load(delta) for delta in deltas if delta is not None}
    (rack,) = {slot.rack for slot in slots.values()}
    engine.prepare(rack.modules)
    order, groups = grouped([0 if delta is None else slots[id(delta)].index for delta in deltas])
    features = engine.run([rows[row] for row in order], bank.adapters(rack, groups))
    return features[np.argsort(order)]


@dataclass(frozen=True, slots=True)
class Trained:
    """`delta` is what peft's matrices are as a graft; `features` are by peft's own model, (rows, dim)."""

    delta: LoraDelta
    features: Floats


def trained_by_peft(loaded: Loaded, rows: Sequence[InputRow], targets: list[str], rank: int) -> Trained:
    """A few steps of peft towards features that are none of the backbone's."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    module = features_module(loaded.source)
    config = LoraConfig(r=rank, lora_alpha=ALPHA, target_modules=targets, exclude_modules=["pooler.dense"])
    adapted = get_peft_model(module.get_submodule("encoder"), config)
    batch = [torch.from_numpy(part) for part in stack(rows).values()]
    wanted = torch.nn.functional.normalize(torch.randn(len(rows), loaded.backbone.space.dim), dim=-1)
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=0.05)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = (module(*batch) - wanted).square().sum()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        features: Floats = module(*batch).numpy()
    return Trained(_as_delta(adapted.state_dict(), ALPHA / rank), features)


def _as_delta(state: dict[str, torch.Tensor], scale: float) -> LoraDelta:
    ends = ".lora_A.default.weight", ".lora_B.default.weight"
    modules = [name.removesuffix(ends[0]) for name in state if name.endswith(ends[0])]
    return LoraDelta(
        {
            module.removeprefix("base_model.model."): LoraPair(
                state[module + ends[0]].numpy().T.copy(), (scale * state[module + ends[1]]).numpy().T.copy()
            )
            for module in modules
        }
    )
