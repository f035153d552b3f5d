"""How many writes a second one database takes, to projects of different tenants: samples, one at a time; adaptations.

Below HTTP, so that the database is what is measured; each service is a process with threads of its own. An adaptation
is three transactions: it is queued, begun, and published as a version that goes live.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, cast

import numpy as np

from tests import postgres
from tests.bench.figures import Figure
from tests.storage.making import Place, Stores, open_stores, sample
from tsugiki.domain import Project

THREADS = 8  # of each service, each with a tenant of its own
WRITING_S = 10.0
LEAST = 200.0  # samples a second; a service that learns from 10⁵ tenants takes some tens

What = Literal["samples added", "adaptations published"]


def measure() -> list[Figure]:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tsugiki-writes-")))
        server = stack.enter_context(postgres.running(durable=True))
        figures: list[Figure] = []
        whats: tuple[What, ...] = ("samples added", "adaptations published")
        for what in whats:
            own = home / what.partition(" ")[0]
            figures.append(_writes(what, "SQLite", own, own, 1))
            for services in (1, 2):
                with server.database() as url:
                    figures.append(_writes(what, "PostgreSQL", own / str(services), url, services))
        return figures


def _writes(what: What, name: str, home: Path, place: Place, services: int) -> Figure:
    home.mkdir(parents=True, exist_ok=True)
    stores = open_stores(home, place)
    stores.database.migrate()
    stores.database.close()
    command = [sys.executable, "-m", "tests.bench.writes", str(home), str(place)]
    running = [
        subprocess.Popen(
            [*command, f"service-{number}", what], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
        )
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
    title = f"{name}, {services} service{'s' * (services > 1)}: {what}"
    least = LEAST if what == "samples added" else None
    return Figure(title, len(took_ms) / WRITING_S, "a second", least, "more", note)


def _serve(home: Path, place: Place, name: str, what: What) -> None:
    """Says when it is ready, waits for a line, and tells the milliseconds of each write."""
    stores = open_stores(home, place, shared=isinstance(place, str))  # others are told of what moves
    projects = [stores.project(tenant=f"{name} {number}") for number in range(THREADS)]
    took_ms: list[float] = []
    act: Callable[[Stores, Project, int], None] = _add if what == "samples added" else _publish

    def write(project: Project) -> None:
        number, ends = 0, time.perf_counter() + WRITING_S
        while (began := time.perf_counter()) < ends:
            number += 1
            act(stores, project, number)
            took_ms.append((time.perf_counter() - began) * 1000)

    threads = [threading.Thread(target=write, args=(project,)) for project in projects]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stores.database.close()
    sys.stdout.write(" ".join(f"{took:.3f}" for took in took_ms))


def _add(stores: Stores, project: Project, number: int) -> None:
    stores.samples.add(project.id, [sample(f"a sample of some thirty letters {number}", "a")])


def _publish(stores: Stores, project: Project, number: int) -> None:
    stores.publish(project, expected=number - 1 or None)


if __name__ == "__main__":
    told = sys.argv[2]
    _serve(Path(sys.argv[1]), told if "://" in told else Path(told), sys.argv[3], cast(What, sys.argv[4]))
