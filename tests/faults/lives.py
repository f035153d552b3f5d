"""A service that is killed again and again, a busy client that remembers what it was told, and what must hold after."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from service.launch import POLL_S, Running

BATCH = 25  # samples of one request: all of them or none
TERMINAL = {"succeeded", "failed", "cancelled"}
LONGEST_S = 0.2  # an adaptation of some samples takes about as long
LABELS = {"billing": "money refund charge", "delivery": "parcel late arrive"}
Json = dict[str, Any]  # a JSON object as the wire holds it; Any because JSON is untyped


@dataclass(slots=True)
class Told:
    """What the service acknowledged, over all its lives."""

    batches: set[str] = field(default_factory=set[str])
    versions: set[int] = field(default_factory=set[int])


def connect(running: Running) -> httpx.Client:
    return httpx.Client(base_url=running.url, headers={"Authorization": f"Bearer {running.key}"}, timeout=30)


def teach(http: httpx.Client, project: str, first: int = 0, count: int = 6) -> Json:
    """Adapt the project to samples of two labels that are new to it."""
    samples = [
        {"input": f"{words} {number}", "label": label}
        for label, words in LABELS.items()
        for number in range(first, first + count)
    ]
    reply = http.post("/adapt", json={"project": project, "samples": samples, "wait_seconds": 30})
    assert reply.status_code == 200, reply.text
    return reply.json()


class Busy:
    """Two threads: one posts batches of samples to `inbox`, one adapts `live`, until the service dies under them."""

    def __init__(self, running: Running, told: Told, life: int) -> None:
        self._running = running
        self._told = told
        self._life = life
        self.answered = threading.Semaphore(0)
        self._threads = [threading.Thread(target=run) for run in (self._post, self._adapt)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _post(self) -> None:
        with connect(self._running) as http:
            for number in itertools.count():
                batch = f"batch-{self._life}-{number}"
                rows = [{"input": f"{batch} {row}", "label": "x", "source": batch} for row in range(BATCH)]
                try:
                    reply = http.post("/v1/projects/inbox/samples", json={"samples": rows})
                except httpx.TransportError:
                    return
                assert (reply.status_code, reply.json()["accepted"]) == (200, BATCH), reply.text
                self._told.batches.add(batch)
                self.answered.release()

    def _adapt(self) -> None:
        with connect(self._running) as http:
            while True:
                try:
                    reply = http.post("/v1/projects/live/adaptations", json={"promote": "always", "wait_seconds": 30})
                except httpx.TransportError:
                    return
                assert reply.status_code == 200, reply.text
                assert reply.json()["status"] == "succeeded", reply.text
                self._told.versions.add(reply.json()["version"])
                self.answered.release()


def processes(running: Running) -> list[int]:
    """The supervisor and its workers."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    return [running.pid, *map(int, children)]


def kill_while_busy(running: Running, told: Told, life: int, answers: int, victims: list[int]) -> None:
    """Kill -9 of the victims, some moment after so many answers."""
    busy = Busy(running, told, life)
    for _ in range(answers):
        assert busy.answered.acquire(timeout=60)
    time.sleep(random.uniform(0, LONGEST_S))  # not waiting for anything: the next request is somewhere on its way
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    busy.join()


def ready(running: Running, *, within_s: float) -> bool:
    """Waits until the service is ready."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{running.url}/readyz", timeout=5).status_code == 200:
                return True
        except httpx.TransportError:
            pass  # nobody is listening yet
        time.sleep(POLL_S)
    return False


def everything(http: httpx.Client, path: str) -> list[Json]:
    """All pages of a list."""
    found: list[Json] = []
    after: str | None = None
    while True:
        page = http.get(path, params={"limit": 100} | ({} if after is None else {"after": after})).json()
        found += page["data"]
        if not page["has_more"]:
            return found
        after = str(page["data"][-1].get("id") or page["data"][-1]["version"])


def losses(told: Told, samples: list[Json]) -> list[str]:
    """What was acknowledged and is not there, and what is there by halves."""
    stored: dict[str, int] = {}
    for sample in samples:
        stored[sample["source"]] = stored.get(sample["source"], 0) + 1
    lost = [f"{batch} was acknowledged and is gone" for batch in told.batches - stored.keys()]
    return lost + [f"{count} samples of {batch}" for batch, count in stored.items() if count != BATCH]
