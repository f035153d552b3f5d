"""32 rows of 32 distinct LoRA adapters in one pass beside the bare network, a side per way of serving them."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# peft and transformers are partly typed.

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, AutoTokenizer

from tests.bench.figures import Figure
from tests.bench.heads import SEED
from tests.bench.serving.arithmetic import paired
from tests.bench.serving.bed import Bed, say
from tests.bench.serving.weights import weights

ROWS = 32
RANK = 8
MODULES = ["query", "value"]


@dataclass(frozen=True, slots=True)
class Side:
    """`run` answers `ROWS` rows once. `base` names the side without adapters that it is measured against, if any."""

    name: str
    run: Callable[[], object]
    base: str | None = None


def sides(bed: Bed) -> list[Side]:
    """Every way of serving adapters; each is warm when it is returned."""
    return peft_sides(bed)


def measure(bed: Bed) -> list[Figure]:
    threads = torch.get_num_threads()
    torch.set_num_threads(bed.cores)
    try:
        measured = sides(bed)
        rounds: defaultdict[str, list[float]] = defaultdict(list)
        for number in range(bed.lengths.rounds):
            say(f"LoRA, round {number + 1} of {bed.lengths.rounds}")
            for side in measured:
                rounds[side.name].append(_rate(side, bed.lengths.side_s))
    finally:
        torch.set_num_threads(threads)
    return [_told(side, rounds) for side in measured]


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
        Side("peft, mixed batch (adapter_names)", mixed, "peft, no adapters"),
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
        done += ROWS
    return done / taken


def _told(side: Side, rounds: dict[str, list[float]]) -> Figure:
    note = f"{ROWS} rows" if side.base is None else f"{ROWS} distinct adapters, rank {RANK}, {'+'.join(MODULES)}"
    if side.base is not None:
        note += f"; kept {paired(rounds[side.name], rounds[side.base]):.2f} of the bare network"
    return Figure(f"LoRA, {side.name}", statistics.median(rounds[side.name]), "texts/s", note=note)
