"""32 rows of 32 distinct LoRA adapters in one pass beside the bare network, a side per way of serving them."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# peft and transformers are partly typed.

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, AutoTokenizer

from tests.bench.figures import Figure
from tests.bench.filling import BACKBONE
from tests.bench.heads import SEED
from tests.bench.serving.arithmetic import paired
from tests.bench.serving.bed import Bed, say
from tests.bench.serving.weights import weights
from tsugiki.backbones.sites import linear_shapes
from tsugiki.domain import EngineName, LoraDelta, LoraPair
from tsugiki.ports import Engine
from tsugiki.runtime.engines.making import Cores, make
from tsugiki.runtime.engines.processor import told
from tsugiki.runtime.loras import NONE, LoraBank, grouped

ROWS = 32
RANK = 8
MODULES = ["query", "value"]
MIXED = "peft, mixed batch (adapter_names)"


@dataclass(frozen=True, slots=True)
class Side:
    """`run` answers `rows` rows once. `base` names the side without adapters that it is measured against, if any."""

    name: str
    run: Callable[[], object]
    base: str | None = None
    rows: int = ROWS


def measure(bed: Bed) -> list[Figure]:
    threads = torch.get_num_threads()
    torch.set_num_threads(bed.cores)
    present = engines(bed)
    try:
        measured = [side for engine in present for side in engine_sides(bed, engine)] + peft_sides(bed)
        rounds: defaultdict[str, list[float]] = defaultdict(list)
        for number in range(bed.lengths.rounds):
            say(f"LoRA, round {number + 1} of {bed.lengths.rounds}")
            for side in measured:
                rounds[side.name].append(_rate(side, bed.lengths.side_s))
    finally:
        torch.set_num_threads(threads)
    return [_told(side, rounds) for side in measured] + _promised(present, rounds)


def engines(bed: Bed) -> list[Engine]:
    """onnxruntime, and the engine that serves where that is another."""
    served = bed.core.backbones.get(BACKBONE)
    names: list[EngineName] = ["onnxruntime"]
    if served.engine.name not in names:
        names.append(served.engine.name)
    cores = Cores(bed.core.settings.engine_workers, bed.core.settings.engine_threads)
    return [make(name, served.loaded, None, cores) for name in names]


def engine_sides(bed: Bed, engine: Engine) -> list[Side]:
    """Passes on every core: without adapters, of `ROWS` distinct ones, of one for all rows, of one among none."""
    served = bed.core.backbones.get(BACKBONE)
    shapes = linear_shapes(served.loaded.graph)
    chosen = [module for module in shapes if module.endswith(tuple(MODULES))]
    bank = LoraBank(lambda: shapes, engine.bank_type, 1 << 28)
    random = np.random.default_rng(SEED)

    def delta() -> LoraDelta:
        return LoraDelta(
            {
                module: LoraPair(
                    (0.05 * random.standard_normal((shapes[module][0], RANK))).astype(np.float32),
                    (0.05 * random.standard_normal((RANK, shapes[module][1]))).astype(np.float32),
                )
                for module in chosen
            }
        )

    slots = [bank.load(delta()) for _ in range(ROWS)]
    rack = slots[0].rack
    engine.prepare(rack.modules)
    rows = [prepared.row for prepared in served.backbone.prepare(middling(bed))]
    pool = ThreadPoolExecutor(bed.cores)
    base = engine_base(engine)

    def side(name: str, indices: list[int] | None) -> Side:
        adapters = None if indices is None else bank.adapters(rack, grouped(indices)[1])

        def run() -> object:
            passes = [pool.submit(engine.run, rows, adapters) for _ in range(bed.cores)]
            return [one.result() for one in passes]

        run()
        return Side(name, run, None if indices is None else base, ROWS * bed.cores)

    distinct = [slot.index for slot in slots]
    return [
        side(base, None),
        side(f"{engine.name}, {ROWS} distinct adapters", distinct),
        side(f"{engine.name}, one adapter for all rows", distinct[:1] * ROWS),
        side(f"{engine.name}, one row with an adapter, {ROWS - 1} without", [distinct[0]] + [NONE] * (ROWS - 1)),
    ]


def engine_base(engine: Engine) -> str:
    return f"{engine.name} {engine.precision}, no adapters"


def _promised(present: list[Engine], rounds: dict[str, list[float]]) -> list[Figure]:
    kept = {
        engine.name: paired(rounds[f"{engine.name}, {ROWS} distinct adapters"], rounds[engine_base(engine)])
        for engine in present
    }
    fastest = max(present, key=lambda engine: statistics.median(rounds[engine_base(engine)]))
    peer = paired(rounds[f"{fastest.name}, {ROWS} distinct adapters"], rounds[MIXED])
    faster = paired(rounds[engine_base(fastest)], rounds[engine_base(present[0])])
    # What was promised is promised of processors with AMX; others have half its units, or none.
    promised = 2.5 if "amx_bf16" in told("flags").split() else None
    return [
        Figure(
            f"{fastest.name} {fastest.precision} ÷ onnxruntime fp32, {ROWS} rows a pass", faster, "", promised, "more"
        ),
        Figure("LoRA kept, onnxruntime fp32", kept["onnxruntime"], "", 0.85, "more"),
        Figure(
            f"LoRA kept, the fastest engine ({fastest.name} {fastest.precision})", kept[fastest.name], "", 0.80, "more"
        ),
        Figure(f"LoRA, {fastest.name} ÷ peft's mixed batch", peer, "", 4, "more"),
    ]


def peft_sides(bed: Bed) -> list[Side]:
    """Peft on torch fp32, a thread a core: all adapters in one pass, and one after the other."""
    say(f"LoRA: {ROWS} adapters for peft")
    torch.manual_seed(SEED)
    tokenizer: Any = AutoTokenizer.from_pretrained(weights())
    texts = middling(bed)
    rows = tokenizer(texts, padding=True, return_tensors="pt")
    singles = [tokenizer([text], return_tensors="pt") for text in texts]
    bare: Any = AutoModel.from_pretrained(weights()).eval()
    config = LoraConfig(r=RANK, target_modules=MODULES, init_lora_weights=False)
    names = [f"adapter-{n}" for n in range(ROWS)]
    model: Any = get_peft_model(AutoModel.from_pretrained(weights()), config, adapter_name=names[0])
    for name in names[1:]:
        model.add_adapter(name, config)
    model.eval()

    @torch.inference_mode()
    def base() -> object:
        return bare(**rows)

    @torch.inference_mode()
    def mixed() -> object:
        return model(**rows, adapter_names=names)

    @torch.inference_mode()
    def switched() -> object:
        answers: list[object] = []
        for name, row in zip(names, singles, strict=True):
            model.set_adapter(name)
            answers.append(model(**row))
        return answers

    made = [
        Side("peft, no adapters", base),
        Side(MIXED, mixed, "peft, no adapters"),
        Side("peft, set_adapter a request", switched, "peft, no adapters"),
    ]
    for side in made:
        side.run()
    return made


def middling(bed: Bed) -> list[str]:
    """`ROWS` texts of about the median length, so that padding is no part of what is compared."""
    ordered = sorted(bed.texts, key=len)
    return ordered[(len(ordered) - ROWS) // 2 :][:ROWS]


def _rate(side: Side, seconds: float) -> float:
    done, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < seconds:
        side.run()
        done += side.rows
    return done / taken


def _told(side: Side, rounds: dict[str, list[float]]) -> Figure:
    note = f"{ROWS} rows a pass" if side.base is None else f"rank {RANK}, {'+'.join(MODULES)}"
    if side.base is not None:
        note += f"; kept {paired(rounds[side.name], rounds[side.base]):.2f} of the bare network"
    return Figure(f"LoRA, {side.name}", statistics.median(rounds[side.name]), "texts/s", note=note)
