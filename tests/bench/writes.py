"""How many small writes a second one database takes: samples, one at a time, to projects of different tenants.

Below HTTP, so that the database is what is measured; each service is a process with threads of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tests import postgres
from tests.bench.figures import Figure
from tests.storage.making import Place, open_stores, sample

THREADS = 8  # of each service, each with a tenant of its own
WRITING_S = 10.0
LEAST = 200.0  # writes a second; a service that learns from 10⁵ tenants takes some tens


def measure() -> list[Figure]:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tsugiki-writes-")))
        server = stack.enter_context(postgres.running(durable=True))
        figures = [_writes("SQLite", home, home, 1)]
        for services in (1, 2):
            with server.database() as url:
                figures.append(_writes("PostgreSQL", home / str(services), url, services))
        return figures


def _writes(name: str, home: Path, place: Place, services: int) -> Figure:
    stores = open_stores(home, place)
    stores.database.migrate()
    stores.database.close()
    command = [sys.executable, "-m", "tests.bench.writes", str(home), str(place)]
    running = [
        subprocess.Popen([*command, f"service-{number}"], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        for number in range(services)
    ]
    for process in running:  # all are ready before any begins
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    took_ms = [float(took) for process in running for took in process.communicate()[0].split()]
    assert all(process.returncode == 0 for process in running)
    p50, p99 = np.quantile(took_ms, (0.5, 0.99))
    note = f"{services * THREADS} at a time; p50 {p50:.1f}, p99 {p99:.1f} ms; load {os.getloadavg()[0]:.1f}"
    title = f"{name}, {services} service{'s' * (services > 1)}: samples added"
    return Figure(title, len(took_ms) / WRITING_S, "a second", LEAST, "more", note)


def _serve(home: Path, place: Place, name: str) -> None:
    """Says when it is ready, waits for a line, and tells the milliseconds of each write."""
    stores = open_stores(home, place)
    projects = [stores.project(tenant=f"{name} {number}") for number in range(THREADS)]
    took_ms: list[float] = []

    def write(project_id: str) -> None:
        number, ends = 0, time.perf_counter() + WRITING_S
        while (began := time.perf_counter()) < ends:
            number += 1
            stores.samples.add(project_id, [sample(f"a sample of some thirty letters {number}", "a")])
            took_ms.append((time.perf_counter() - began) * 1000)

    threads = [threading.Thread(target=write, args=(project.id,)) for project in projects]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stores.database.close()
    sys.stdout.write(" ".join(f"{took:.3f}" for took in took_ms))


if __name__ == "__main__":
    told = sys.argv[2]
    _serve(Path(sys.argv[1]), told if "://" in told else Path(told), sys.argv[3])
