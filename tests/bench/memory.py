"""What ten thousand tenants cost: memory by head and in all, and the start."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

from service.launch import Running, family, serving
from tests.bench.figures import Figure
from tsugiki.backbones import load
from tsugiki.domain import LIVE, Graft, Head, NewSample, NewVersion, Snapshot
from tsugiki.storage.adaptations import Adaptations
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.database import Database
from tsugiki.storage.local_files import LocalFiles
from tsugiki.storage.projects import Projects
from tsugiki.storage.registry import Registry
from tsugiki.storage.samples import Samples
from tsugiki.storage.tenants import Tenants

TENANTS = 10_000
CALLERS = 16
BACKBONE = "minilm-en"
MIB = 1 << 20


def measure(home: Path) -> list[Figure]:
    """`home` has been served before, so that its graphs are there; it gets its tenants here."""
    before = _start_s(home)
    keys = _fill(home)
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


def _fill(home: Path) -> list[str]:
    """A tenant, a project, four samples and a live version each, by the stores the service itself uses."""
    database = Database(home)
    blobs = Blobs(LocalFiles(home / "blobs"))
    tenants, projects, samples = Tenants(database), Projects(database, blobs), Samples(database)
    adaptations, registry = Adaptations(database), Registry(database, blobs)
    space = load(BACKBONE, {}, home / "graphs").backbone.space
    random = np.random.default_rng(0)
    keys: list[str] = []
    for number in range(TENANTS):
        tenant = tenants.create(f"tenant-{number}")
        keys.append(tenants.issue_key(tenant.id, "key", ["predict"]).secret)
        project = projects.create(tenant.id, "mine", "text", "single_label", BACKBONE)
        rows = [NewSample(f"{number} {n}", f"{number:064d}"[:60] + f"{n:04d}", f"g{n}", "ab"[n % 2]) for n in range(4)]
        stored = samples.add(project.id, rows)
        ids = tuple(row.id or "" for row in stored)
        snapshot = Snapshot(database.ids.new("snp"), project.id, ids, ("a", "b"), (0, 1, 0, 1), (0, 0, 1, 1))
        weight = random.standard_normal((2, space.dim), np.float32)
        graft = Graft("head", space.id, Head(weight, np.zeros(2, np.float32), 1.0, ("a", "b")))
        adaptation = adaptations.create(project.id, {"method": "head"})
        new = NewVersion(graft, snapshot, BACKBONE, {"report": {}, "held_out": {}}, {}, {})
        attempt = adaptations.start(adaptation.id)
        registry.publish(project.id, new, adaptation.id, attempt, LIVE, None, {}, {}, "bench")
    database.close()
    return keys


def _predict_all(running: Running, keys: Iterable[str]) -> None:
    with httpx.Client(base_url=running.url, timeout=60) as http, ThreadPoolExecutor(CALLERS) as pool:

        def predict(key: str) -> None:
            body = {"project": "mine", "inputs": ["hello"]}
            reply = http.post("/predict", json=body, headers={"Authorization": f"Bearer {key}"})
            assert reply.status_code == 200, reply.text

        list(pool.map(predict, keys))


def _resident_bytes(pid: int) -> int:
    """Of the service in all: supervisor and worker."""
    return sum(_rss(member) for member in family(pid))


def _rss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
