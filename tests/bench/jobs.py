"""How soon a job begins, and whether tenants take turns when a hundred of them have a thousand jobs waiting.

On a tiny network of random weights, by the head: what is measured is the waiting, and a job takes a moment. For the
trainer the head goes by a deep method's name; real ones take longer and wait no differently.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from sqlalchemy import select

from service.wiring import Core
from tests.bench.figures import Figure
from tests.faults.several import soon
from tests.jobs.deep import HOLD, core_with_trainer, measured
from tests.jobs.working import SOON_S, samples
from tests.tiny import write_tiny
from tsugiki.backbones import load
from tsugiki.domain import Adaptation, Json, MethodName, Project
from tsugiki.storage.tables import AdaptationRow, EventRow

ALONE = 40  # jobs one after another, each begun by an idle lane
TENANTS, EACH = 100, 10
WATCHED_S = 120.0  # the trainer is not waited for longer; by then each tenant has begun one or two
LOOK_EVERY_S = 5.0  # rarely: it reads all that began
LONGEST_S = 600.0
START_LIMIT_MS = 300.0  # what is promised of the median

Enqueue = Callable[[Sequence[Project]], list[Adaptation]]


def measure(home: Path) -> list[Figure]:
    folder = home / "tiny"
    folder.mkdir()
    write_tiny(folder)
    own = home / "jobs"
    tiny = load("tiny", {"tiny": folder}, own / "graphs")
    with core_with_trainer(measured(own, tiny), folder) as core:
        projects = [_taught(core, f"tenant-{number}") for number in range(TENANTS)]
        plug = _taught(core, "plug")
        return [
            _alone(core, plug, "fast lane", lambda asked: _fast(core, asked)),
            _alone(core, plug, "trainer", lambda asked: _deep(core, asked)),
            *_turns_of_fast(core, projects),
            *_turns_of_deep(core, projects, plug),
        ]


def _taught(core: Core, tenant: str) -> Project:
    made = core.projects.create(core.tenants.create(tenant).id, "jobs", "text", "single_label", "tiny")
    core.samples.add(made.id, samples(4))
    return made


def _wish(method: MethodName) -> Json:
    return {"method": method, "budget": None, "hyperparameters": None, "promote": "gate"}


def _fast(core: Core, asked: Sequence[Project]) -> list[Adaptation]:
    """All rows first, for writing a row takes long beside handing it on. Waits until the last has ended."""
    jobs = [core.adaptations.create(project.id, _wish("head")) for project in asked]
    for done in [core.fast_lane.submit(project, job) for project, job in zip(asked, jobs, strict=True)]:
        done.result(LONGEST_S)
    return jobs


def _deep(core: Core, asked: Sequence[Project]) -> list[Adaptation]:
    return [core.adaptations.create(project.id, _wish("lora"), for_trainer=True) for project in asked]


def _alone(core: Core, project: Project, name: str, enqueue: Enqueue) -> Figure:
    """From the row's commit, one at a time; the first ones warm up."""
    waited_ms: list[float] = []
    for _ in range(ALONE + 3):
        (job,) = enqueue([project])
        assert soon(lambda: core.adaptations.get(project.tenant_id, job.id).status == "succeeded", SOON_S)  # noqa: B023  # called within the round
        began = core.adaptations.events(job.id)[0].at
        waited_ms.append((began - job.created_at).total_seconds() * 1000)
    warm = waited_ms[3:]
    p50, p99 = float(np.median(warm)), float(np.quantile(warm, 0.99))
    note = f"p99 {p99:.0f} ms, longest {max(warm):.0f} ms of {ALONE}; load {os.getloadavg()[0]:.1f}"
    return Figure(f"{name}: from queued to begun, p50", p50, "ms", START_LIMIT_MS, note=note)


def _turns_of_fast(core: Core, projects: Sequence[Project]) -> list[Figure]:
    began = time.perf_counter()
    jobs = _fast(core, _backlogs(projects))
    return _told("fast lane", core, jobs, time.perf_counter() - began)


def _turns_of_deep(core: Core, projects: Sequence[Project], plug: Project) -> list[Figure]:
    """All wait behind one job that is held until they do."""
    hold = core.settings.root / HOLD
    hold.touch()
    (held,) = _deep(core, [plug])
    assert soon(lambda: core.adaptations.get(plug.tenant_id, held.id).phase == "train", SOON_S)
    jobs = _deep(core, _backlogs(projects))
    hold.unlink()
    began = time.perf_counter()
    while len(_begun(core, jobs)) < len(jobs) and time.perf_counter() - began < WATCHED_S:
        time.sleep(LOOK_EVERY_S)
    return _told("trainer", core, jobs, time.perf_counter() - began)


def _backlogs(projects: Sequence[Project]) -> list[Project]:
    """Ten of one tenant, then ten of the next: first come, first served would be at its worst."""
    return [project for project in projects for _ in range(EACH)]


def _begun(core: Core, jobs: Sequence[Adaptation]) -> list[str]:
    """Projects in the order in which their jobs began."""
    first = select(EventRow.adaptation_id, AdaptationRow.project_id).join(AdaptationRow).where(EventRow.seq == 1)
    with core.database.read() as session:
        rows = session.execute(first.order_by(EventRow.at, EventRow.adaptation_id)).all()
    asked = {job.id for job in jobs}
    return [project_id for adaptation_id, project_id in rows if adaptation_id in asked]


def _told(name: str, core: Core, jobs: Sequence[Adaptation], took_s: float) -> list[Figure]:
    order = _begun(core, jobs)
    everybody = {job.project_id for job in jobs}
    late, before = behind(order, everybody), _before_the_last_first(order, everybody)
    fifo = [job.project_id for job in jobs]
    note = f"first come, first served: {behind(fifo, everybody)}; {len(order)} of {len(jobs)} begun in {took_s:.0f} s"
    most = f"of {TENANTS} tenants, {len(jobs)} jobs; first come, first served: {len(fifo) - EACH}"
    title = f"{name}, {len(jobs)} jobs of {TENANTS} tenants"
    return [
        Figure(f"{title}: begun after another's third", late, "tenants", 0, note=note),
        Figure(f"{title}: jobs begun before the last tenant's first", before, "jobs", note=most),
    ]


def behind(order: Sequence[str], everybody: set[str]) -> int:
    """Tenants whose first job did not begin before every other tenant's third."""
    seen, thirds = Counter[str](), list[int]()
    firsts: dict[str, int] = {}
    for place, tenant in enumerate(order):
        seen[tenant] += 1
        firsts.setdefault(tenant, place)
        thirds += [place] if seen[tenant] == 3 else []
    earliest = min(thirds, default=len(order))
    return sum(firsts.get(tenant, len(order) + 1) > earliest for tenant in everybody)


def _before_the_last_first(order: Sequence[str], everybody: set[str]) -> int | None:
    if set(order) != everybody:
        return None
    return max(order.index(tenant) for tenant in everybody)
