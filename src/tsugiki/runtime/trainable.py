"""A backbone that methods may train: its network for torch, and what a changed one yields by the serving engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, assert_never

import numpy as np

from tsugiki.backbones.graph import features_module
from tsugiki.backbones.sites import linear_shapes
from tsugiki.domain import LoraDelta, WeightsDelta
from tsugiki.runtime.engines import torch as torch_engine
from tsugiki.runtime.loras import LoraBank
from tsugiki.training.batches import near_lengths
from tsugiki.training.costs import TYPICAL

if TYPE_CHECKING:
    import torch

    from tsugiki.backbones.loaded import Loaded
    from tsugiki.domain import Content, Delta, FeatureSpace, Floats, Modality, Prepared, Rates
    from tsugiki.errors import Invalid
    from tsugiki.ports import Adapters, Engine

# Of oneDNN, by which torch multiplies on processors, for one shape of batch each; batches of texts are of many shapes.
# Of 1,024, its own number, LoRA in all blocks of MiniLM (770 texts, eight epochs) grew by 1.5 GiB; of 64 by 1.1, in no
# more time.
KEPT_PRIMITIVES = "64"


class TrainableBackbone:
    """The ports Backbone and Trainable over one loaded backbone, in the space of the engine that `make` makes.

    Not thread-safe: one adaptation has it to itself. What it holds is the engine of the unchanged network and of LoRA,
    made when first needed; the engine of replaced weights lasts for one call. Training takes `threads` threads (None:
    as many as torch takes by itself); the setting is the whole process's.
    """

    def __init__(
        self,
        loaded: Loaded,
        make: Callable[[Loaded, WeightsDelta | None], Engine],
        rates: Rates | None = None,
        threads: int | None = None,
    ) -> None:
        self._loaded = loaded
        self._make = make
        self._threads = threads
        self.rates = rates or TYPICAL[loaded.source.modality].rates

    @property
    def name(self) -> str:
        return self._loaded.backbone.name

    @property
    def modality(self) -> Modality:
        return self._loaded.backbone.modality

    @property
    def space(self) -> FeatureSpace:
        """Makes the engine: what it computes in is part of the space."""
        return self._loaded.at(self._engine.precision).backbone.space

    def prepare(self, contents: Sequence[Content]) -> list[Prepared]:
        return self._loaded.backbone.prepare(contents)

    def prepare_each(self, contents: Sequence[Content]) -> list[Prepared | Invalid]:
        return self._loaded.backbone.prepare_each(contents)

    def probe(self) -> list[Prepared]:
        return self._loaded.backbone.probe()

    def network(self) -> torch.nn.Module:
        import torch

        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KEPT_PRIMITIVES)
        # Here, where torch is loaded at the latest: what libraries are told before it is, it does not hear.
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        # On a processor, of short texts in bfloat16, torch's fused attention took half of a training step.
        return features_module(self._loaded.source, "sdpa" if torch_engine.why_not() is None else "eager")

    def features(self, rows: Sequence[Prepared], delta: Delta | None, check: Callable[[], None]) -> Floats:
        check()
        match delta:
            case None:
                return self._run(self._engine, rows, None, check)
            case LoraDelta():
                bank = LoraBank(lambda: linear_shapes(self._loaded.graph), self._engine.bank_type, 0)
                slot = bank.load(delta)
                self._engine.prepare(slot.rack.modules)
                return self._run(self._engine, rows, bank.adapters(slot.rack, np.array([slot.index])), check)
            case WeightsDelta():
                return self._run(self._make(self._loaded, delta), rows, None, check)
            case _:
                assert_never(delta)

    @cached_property
    def _engine(self) -> Engine:
        return self._make(self._loaded, None)

    def _run(
        self, engine: Engine, rows: Sequence[Prepared], adapters: Adapters | None, check: Callable[[], None]
    ) -> Floats:
        features = np.empty((len(rows), self._loaded.source.feature_dim), np.float32)
        for part in near_lengths([row.size for row in rows], engine.pass_tokens):
            check()
            chosen: list[int] = part.tolist()
            features[part] = engine.run([rows[row].row for row in chosen], adapters)
        return features
