"""How long until a classifier is live, and what others feel meanwhile."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence

import httpx
import numpy as np

from service.launch import Running
from tests.bench.figures import Figure
from tests.bench.sets import read
from tsugiki.client import Client

RUNS = 15
IDLE_S = 20.0
TRAINED_S = 60.0
PROBE_EVERY_S = 0.05  # twenty predictions a second, one at a time: a light, steady caller


def measure(running: Running) -> list[Figure]:
    with Client(running.url, running.key, timeout_s=600) as client:
        return [_to_live(client), _few(client), *_many(client, running)]


def _to_live(client: Client) -> Figure:
    """From the request's first byte to a reply that says a version is live, samples never seen before."""
    taken: list[float] = []
    for run in range(RUNS + 2):
        samples = [(f"parcel {run} {n} has not arrived", "delivery") for n in range(8)]
        samples += [(f"charged {run} {n} times for one order", "billing") for n in range(8)]
        started = time.perf_counter()
        adapted = client.adapt(f"live-{run}", samples, wait_seconds=30)
        taken.append((time.perf_counter() - started) * 1000)
        assert adapted.adaptation.promoted, adapted.raw
    warm = taken[2:]
    return Figure("adapt to live, 16 new samples", statistics.median(warm), "ms", 250, note=f"max {max(warm):.0f}")


def _few(client: Client) -> Figure:
    client.projects.create("few")
    client.samples.add("few", [(row.text, row.label) for row in read("banking77", "train_10shot")])
    timings: list[float] = []
    for _ in range(6):
        done = client.adaptations.wait(client.adaptations.start("few", method="head", wait_seconds=60))
        timings.append(done.timings["fit_ms"] + done.timings["evaluate_ms"])
    cached = timings[1:]
    return Figure(
        "fit + evaluate, 770 × 77, cached", statistics.median(cached), "ms", 1_500, note=f"max {max(cached):.0f}"
    )


def _many(client: Client, running: Running) -> list[Figure]:
    client.adapt("probe", [("my card is lost", "card"), ("card stolen", "card"), ("so sunny", "sky"), ("rain", "sky")])
    client.projects.create("many")
    client.samples.add("many", [(row.text, row.label) for row in read("banking77", "train")])
    idle = _Probe(running, "probe")
    time.sleep(IDLE_S)
    before = idle.stop()
    trained = _trained(client, running, before)
    busy = _Probe(running, "probe")
    done = client.adaptations.wait(client.adaptations.start("many"))
    during = busy.stop()
    assert done.status == "succeeded", done.problem
    timings = done.timings
    rest = (timings["total_ms"] - timings["embed_ms"]) / 1000
    return [
        Figure("10,003 × 77: all but embedding", rest, "s", 15, note=f"embedding {timings['embed_ms'] / 1000:.1f} s"),
        _slower("predictions' p99 meanwhile ÷ idle", during, before, 3),
        *trained,
    ]


def _trained(client: Client, running: Running, idle: Sequence[float]) -> list[Figure]:
    """Beside the other process, which trains the network on what `_few` has sent, and is told to end in time."""
    beside = _Probe(running, "probe")
    done = client.adaptations.wait(client.adaptations.start("few", method="lora", budget_s=TRAINED_S))
    during = beside.stop()
    assert done.status == "succeeded", done.problem
    took_s = done.timings["total_ms"] / 1000
    return [
        _slower("predictions' p99 while the trainer trains ÷ idle", during, idle, 2),
        Figure("the training's time ÷ its budget", took_s / TRAINED_S, "", 1.1, note=f"{took_s:.0f} s"),
    ]


def _slower(name: str, during: Sequence[float], idle: Sequence[float], limit: float) -> Figure:
    busy_ms, idle_ms = (float(np.percentile(rows, 99)) for rows in (during, idle))
    medians = f"p50 {np.median(during):.0f} beside {np.median(idle):.0f}"
    return Figure(name, busy_ms / idle_ms, "", limit, note=f"{busy_ms:.0f} ms beside {idle_ms:.0f} ms idle; {medians}")


class _Probe:
    """Predicts one short text again and again; `stop` gives the milliseconds of each answer."""

    def __init__(self, running: Running, project: str) -> None:
        self._running = running
        self._project = project
        self._taken: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._probe)
        self._thread.start()

    def stop(self) -> Sequence[float]:
        self._end.set()
        self._thread.join()
        return self._taken

    def _probe(self) -> None:
        headers = {"Authorization": f"Bearer {self._running.key}"}
        with httpx.Client(base_url=self._running.url, headers=headers, timeout=60) as http:
            while not self._end.wait(PROBE_EVERY_S):
                started = time.perf_counter()
                reply = http.post(
                    "/predict", json={"project": self._project, "inputs": [f"lost card {len(self._taken)}"]}
                )
                self._taken.append((time.perf_counter() - started) * 1000)
                assert reply.status_code == 200, reply.text
