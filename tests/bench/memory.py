"""What ten thousand tenants cost: memory by head and in all, and the start."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from service.launch import Running, family, serving
from tests.bench.figures import Figure
from tests.bench.filling import PROJECT, fill

TENANTS = 10_000
CLASSES = 2
CALLERS = 16
MIB = 1 << 20


def measure(home: Path) -> list[Figure]:
    """`home` has been served before, so that its graphs are there; it gets its tenants here."""
    before = _start_s(home)
    keys = [tenant.key for tenant in fill(home, TENANTS, classes=CLASSES)]
    after = _start_s(home)
    with serving(home) as running:
        empty = _resident_bytes(running.pid)
        _predict_all(running, keys)
        full = _resident_bytes(running.pid)
    return [
        Figure(
            "start with 10,000 tenants ÷ with none",
            after / before,
            "",
            1.25,
            note=f"{after:.1f} s beside {before:.1f} s",
        ),
        Figure(
            "a resident 2-class head", (full - empty) / TENANTS / 1024, "KiB", 16, note="growth of the process ÷ heads"
        ),
        Figure("resident memory, 10,000 tenants served", full / MIB, "MiB", 1024, note=f"{empty / MIB:.0f} MiB before"),
    ]


def _start_s(home: Path) -> float:
    def once() -> float:
        started = time.perf_counter()
        with serving(home):
            return time.perf_counter() - started

    return min(once() for _ in range(3))


def _predict_all(running: Running, keys: Iterable[str]) -> None:
    with httpx.Client(base_url=running.url, timeout=60) as http, ThreadPoolExecutor(CALLERS) as pool:

        def predict(key: str) -> None:
            body = {"project": PROJECT, "inputs": ["hello"]}
            reply = http.post("/predict", json=body, headers={"Authorization": f"Bearer {key}"})
            assert reply.status_code == 200, reply.text

        list(pool.map(predict, keys))


def _resident_bytes(pid: int) -> int:
    """Of the service in all: supervisor and worker."""
    return sum(_rss(member) for member in family(pid))


def _rss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
