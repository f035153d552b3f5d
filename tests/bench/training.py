"""Training LoRA matrices beside the loop that peft's users write: same texts, rank, modules, epochs and threads."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch and peft leave much of their types unknown.

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from adapters.lora import LoraMethod
from tests.bench.figures import Figure
from tests.bench.sets import read
from tsugiki.backbones import load
from tsugiki.backbones.graph import features_module
from tsugiki.backbones.inputs import stack
from tsugiki.data.folds import assign_folds
from tsugiki.domain import Prepared, TrainingSet
from tsugiki.runtime.engines.making import Cores, make
from tsugiki.runtime.trainable import TrainableBackbone
from tsugiki.training.deadline import Deadline
from tsugiki.training.hyperparameters import MOST_BLOCKS
from tsugiki.training.rounds import Part
from tsugiki.training.tutor import Tutor

if TYPE_CHECKING:
    import torch

    from tsugiki.domain import Floats, Ints

BACKBONE = "minilm-en"
SET, TRAIN, TEST = "banking77", "train_10shot", "fs_test"
EPOCHS, RANK, RATE, BATCH_ROWS = 8, 16, 2e-3, 32
THREADS = 2
TIMES = 3.0  # as fast
LEAST_GAIN = -0.5  # points of accuracy, within what another seed changes
MIB = 2**20


class Taught(NamedTuple):
    seconds: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Task:
    backbone: TrainableBackbone
    data: TrainingSet
    test: Sequence[Prepared]
    truth: Ints
    plain: Callable[[], torch.nn.Module]  # afresh, in float32, as transformers computes it


def measure(home: Path) -> list[Figure]:
    import torch

    torch.set_num_threads(THREADS)
    task = _task(home)
    before = _peak_bytes()
    tops, every = (_ours(task, top_blocks) for top_blocks in (None, MOST_BLOCKS))
    peak = _peak_bytes() - before
    peft = _peft(task)
    figures: list[Figure] = []
    for what, ours in (("as `lora` does it, the top blocks", tops), ("all blocks", every)):
        note = f"{ours.seconds:.0f} s beside {peft.seconds:.0f} s"
        figures.append(Figure(f"LoRA training ÷ peft, {what}", peft.seconds / ours.seconds, "", TIMES, "more", note))
        gain = ours.accuracy - peft.accuracy
        note = f"{ours.accuracy:.1f} beside {peft.accuracy:.1f} %"
        figures.append(Figure(f"accuracy beyond peft's, {what}", gain, "points", LEAST_GAIN, "more", note))
    return [*figures, Figure("memory of the training, at its peak", peak / MIB, "MiB", 1536)]


def _task(home: Path) -> Task:
    loaded = load(BACKBONE, {}, home / "graphs")
    backbone = TrainableBackbone(loaded, lambda files, delta: make("onnxruntime", files, delta, Cores(1, THREADS)))
    train, test = read(SET, TRAIN), read(SET, TEST)
    labels = tuple(sorted({row.label for row in train}))
    rows, asked = (backbone.prepare([row.text for row in part]) for part in (train, test))
    targets, truth = (np.array([labels.index(row.label) for row in part]) for part in (train, test))
    features = backbone.features(rows, None, _never)
    folds = assign_folds(targets, [row.text for row in train], 0)
    data = TrainingSet(backbone.space.id, features, targets, folds, np.arange(len(targets)), labels, 0, rows)
    return Task(backbone, data, asked, truth, lambda: features_module(loaded.source, "sdpa"))


def _ours(task: Task, top_blocks: int | None) -> Taught:
    """From the frozen network to matrices and the head that learnt along; answered by the serving engine."""
    method = LoraMethod(rank=RANK, top_blocks=top_blocks, epochs=EPOCHS, learning_rate=RATE, head_learning_rate=RATE)
    started = time.monotonic()
    tutor = Tutor(task.backbone, task.data, method, _never)
    none = np.zeros(0, np.int64)
    everything = Part(np.arange(len(task.data.targets)), none, none)
    taught = tutor.teach(everything, EPOCHS, 1.0, Deadline.after(None), lambda fraction: None)
    seconds = time.monotonic() - started
    assert taught.head is not None, "so many samples are learnt by their labels"
    features = task.backbone.features(task.test, taught.delta, _never)
    return Taught(seconds, _accuracy(features @ taught.head.weight.T + taught.head.bias, task.truth))


def _peft(task: Task) -> Taught:
    import torch
    from peft import LoraConfig, inject_adapter_in_model

    torch.manual_seed(0)
    module = task.plain()
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules="all-linear", bias="none")
    inject_adapter_in_model(config, module.get_submodule("encoder"))
    head = torch.nn.Linear(task.data.features.shape[1], len(task.data.labels))
    trained = [p for name, p in module.named_parameters() if "lora_" in name]
    module.requires_grad_(False)
    for parameter in trained:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW([*trained, *head.parameters()], lr=RATE)
    targets, random = torch.from_numpy(task.data.targets), np.random.default_rng(0)
    started = time.monotonic()
    for _ in range(EPOCHS):
        order = random.permutation(len(targets))
        for start in range(0, len(order), BATCH_ROWS):
            batch = order[start : start + BATCH_ROWS]
            scores = head(_features(module, [task.data.rows[row] for row in batch]))
            loss = torch.nn.functional.cross_entropy(scores, targets[torch.from_numpy(batch)])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    seconds = time.monotonic() - started
    with torch.inference_mode():
        parts = [task.test[start : start + BATCH_ROWS] for start in range(0, len(task.test), BATCH_ROWS)]
        scores = torch.cat([head(_features(module, part)) for part in parts])
    return Taught(seconds, _accuracy(scores.numpy(), task.truth))


def _features(module: torch.nn.Module, rows: Sequence[Prepared]) -> torch.Tensor:
    import torch

    batch = stack([row.row for row in rows])
    found: torch.Tensor = module(*(torch.from_numpy(part) for part in batch.values()))
    return found


def _accuracy(scores: Floats, truth: Ints) -> float:
    return 100 * float((scores.argmax(axis=1) == truth).mean())


def _peak_bytes() -> int:
    """Of this process so far; Linux counts KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _never() -> None:
    """Nobody cancels."""
