"""What a further worker costs, and how soon it serves what another one moved."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from service.launch import serving
from tests.bench.figures import Figure
from tests.faults.several import Worker, each_worker

PROJECT = "workers"
MOVES = 50
WARM_REQUESTS = 20  # until memory has grown to what serving needs
LATE_LIMIT_MS = 1_000  # what is promised
KIB_A_MIB = 1_024
SAMPLES = [
    {"input": text, "label": label}
    for label, texts in {
        "billing": ("I was charged twice", "The invoice shows a wrong amount", "Refund my card"),
        "delivery": ("Where is my parcel?", "The courier never came", "The box is late"),
    }.items()
    for text in texts
]


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process, in MiB: `proportional` counts a page that n processes share as 1/n of it."""

    resident: float
    proportional: float


def measure(home: Path) -> list[Figure]:
    """`home` has been served before, so that its graphs are there."""
    alone, pair, late_ms = _one(home), *_two(home)
    further = sum(worker.proportional for worker in pair) - alone.proportional
    middle, most = (float(np.quantile(late_ms, share)) for share in (0.5, 0.99))
    return [
        Figure("memory of the only worker", alone.resident, "MiB", note=f"proportional {alone.proportional:.0f} MiB"),
        Figure(
            "memory of a further worker",
            further,
            "MiB",
            note="proportional; resident of each " + ", ".join(f"{worker.resident:.0f}" for worker in pair),
        ),
        Figure(
            "from a move to its being served by the other worker, longest",
            float(max(late_ms)),
            "ms",
            LATE_LIMIT_MS,
            note=f"p50 {middle:.0f} ms, p99 {most:.0f} ms, {MOVES} moves",
        ),
    ]


def _one(home: Path) -> Memory:
    with serving(home, env=_environment(1)) as running, each_worker(running, 1) as (worker,):
        for _ in range(2):
            body = {"project": PROJECT, "samples": SAMPLES, "wait_seconds": 30}
            worker.http.post("/adapt", json=body).raise_for_status()
        worker.http.put(f"/v1/projects/{PROJECT}/aliases/live", json={"version": 2}).raise_for_status()
        return _memory(worker)


def _two(home: Path) -> tuple[list[Memory], list[float]]:
    with serving(home, env=_environment(2)) as running, each_worker(running, 2) as workers:
        memory = [_memory(worker) for worker in workers]
        return memory, [_late_ms(workers, number) for number in range(MOVES)]


def _environment(workers: int) -> dict[str, str]:
    """One pass at a time in each: what is compared is workers, not their threads."""
    return {"TSUGIKI_WORKERS": str(workers), "TSUGIKI_ENGINE_WORKERS": "1"}


def _memory(worker: Worker) -> Memory:
    """After its first predictions."""
    for _ in range(WARM_REQUESTS):
        _served(worker.http)
    lines = Path(f"/proc/{worker.pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    return Memory(kib["Rss"] / KIB_A_MIB, kib["Pss"] / KIB_A_MIB)


def _late_ms(workers: Sequence[Worker], number: int) -> float:
    """From the reply to a move by one worker to the first prediction of the other by the new version."""
    mover, other = workers[number % 2].http, workers[1 - number % 2].http
    version = 1 + number % 2
    assert _served(other) != version
    mover.put(f"/v1/projects/{PROJECT}/aliases/live", json={"version": version}).raise_for_status()
    moved = time.perf_counter()
    while _served(other) != version:
        assert time.perf_counter() - moved < 10 * LATE_LIMIT_MS / 1_000, "the other worker never serves it"
    return (time.perf_counter() - moved) * 1_000


def _served(http: httpx.Client) -> int:
    reply = http.post("/predict", json={"project": PROJECT, "inputs": ["My card was debited two times"]})
    return int(reply.raise_for_status().json()["version"])
