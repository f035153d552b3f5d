"""How many tokens a second a backbone takes here, served and trained: a short burst, kept beside its graph.

Measured where training happens, never in front of a request; until then plans reckon with another machine's figures.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's types leave much unknown.

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from tsugiki.domain import Rates
from tsugiki.training.costs import TYPICAL
from tsugiki.training.network import compute_type, device

if TYPE_CHECKING:
    from pathlib import Path

    from tsugiki.backbones.loaded import Loaded
    from tsugiki.domain import EngineName, InputRow, Modality
    from tsugiki.ports import Engine

log = logging.getLogger(__name__)

BURST_S = 1.0  # of each: some tens of passes of MiniLM
REPEATED = 2  # times the probe's 16 rows in a batch: as large as a training batch
FORMAT = 4


def rates_file(loaded: Loaded, engine: EngineName, threads: int) -> Path:
    return loaded.graph.with_suffix(f".{engine}-{threads}.rates.json")


def read_rates(path: Path, modality: Modality = "text") -> Rates:
    """What was measured, else what is usual of the modality."""
    usual = TYPICAL[modality].rates
    if not path.is_file():
        return usual
    try:
        kept = json.loads(path.read_text())
        if kept["format"] == FORMAT:
            return Rates(float(kept["forward"]), float(kept["backward"]), measured=True, device=str(kept["device"]))
    except (ValueError, KeyError, TypeError):
        log.warning("%s is not what was written there; plans reckon with usual rates", path)
    return usual


def ensure_rates(loaded: Loaded, engine: Engine, threads: int) -> Rates:
    """What was measured before, or is now: blocks for some seconds, mostly for loading torch.

    Training takes `threads` threads; the setting is the whole process's.
    """
    path = rates_file(loaded, engine.name, threads)
    if (known := read_rates(path, loaded.source.modality)).measured:
        return known
    probe = loaded.backbone.probe() * REPEATED
    rows = [prepared.row for prepared in probe]
    # With padding, which is computed like the rest: what is reckoned for has batches of near lengths, and hardly any.
    tokens = len(probe) * max(prepared.size for prepared in probe)
    forward = _per_second(lambda: engine.run(rows), threads) * tokens
    backward = _per_second(_training(loaded, rows, threads), threads) * tokens
    found = Rates(round(forward, 1), round(backward, 1), measured=True, device=device().type)
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"format": FORMAT, **asdict(found)}) + "\n")
    part.replace(path)
    log.info("%s here: %g tokens/s by %s, %g in training", loaded.source.name, forward, engine.name, backward)
    return found


def _per_second(once: Callable[[], object], threads: int) -> float:
    """By the processor time of `threads` threads, where that is less than the time that passed.

    What is measured once is believed for years, and a trainer stands back: others may have had the cores just then.
    """
    once()
    passes, started, worked = 0, time.perf_counter(), time.process_time()
    while (passed := time.perf_counter() - started) < BURST_S:
        once()
        passes += 1
    taken = (time.process_time() - worked) / threads
    return passes / (taken if taken < passed and device().type == "cpu" else passed)


def _training(loaded: Loaded, rows: list[InputRow], threads: int) -> Callable[[], object]:
    """One step's work on all weights, there and back, with attention and numbers as they are trained."""
    import torch

    from tsugiki.backbones.graph import features_module
    from tsugiki.backbones.inputs import stack

    torch.set_num_threads(threads)
    where = device()
    module = features_module(loaded.source, "sdpa").to(where, compute_type(where))
    inputs = [torch.from_numpy(part).to(where) for part in stack(rows).values()]

    def step() -> None:
        module.zero_grad(set_to_none=True)
        module(*inputs).square().sum().backward()

    return step
