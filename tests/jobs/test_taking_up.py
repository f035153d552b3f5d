"""A job has one owner: one that lives is left alone, and what a dead one left goes on exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.core import Core
from service.settings import Settings
from service.wiring import wire
from tests.faults.several import soon
from tests.jobs.working import SOON_S, adapt, ask, project, samples
from tsugiki.backbones import Loaded
from tsugiki.domain import Adaptation, Project
from tsugiki.errors import Conflict
from tsugiki.jobs.taking_up import TakingUp
from tsugiki.storage.adaptations import Adaptations
from tsugiki.storage.exports import Exports
from tsugiki.storage.idempotency import Fresh, Idempotency
from tsugiki.storage.presence import Presence

LOOK_EVERY_S = 0.2  # here; several looks of the service's own period would make the longest tests of this folder


class Neighbour:
    """Another process of the home, as far as the stores know: it has a number, and takes jobs it never runs."""

    def __init__(self, core: Core) -> None:
        self._presence = Presence(core.settings.root / "workers")
        number = self.number = self._presence.number
        self.adaptations = Adaptations(core.database, number)
        self.exports = Exports(core.database, core.blobs, number)
        self.idempotency = Idempotency(core.database, number)

    def die(self) -> None:
        self._presence.close()


@pytest.fixture(scope="module")
def core(make_home: Callable[[], Path], tiny: Loaded) -> Iterator[Core]:
    values: dict[str, Any] = {"home": make_home(), "backbones": {"tiny": tiny.source.folder}, "text_backbone": "tiny"}
    values["engine"] = "onnxruntime"
    made = wire(Settings(**values, bootstrap_key="tsk_of-the-taking-up-tests"))  # pyright: ignore[reportArgumentType]  # as the environment's text
    made.taking_up.close()
    often = TakingUp(
        *(made.presence, made.projects, made.adaptations, made.exports, made.idempotency),
        *(made.fast_lane, made.exporting),
        look_every_s=LOOK_EVERY_S,
    )
    yield replace(made, taking_up=often)
    often.close()
    made.close()


def has_ended(core: Core, of: Project, job: Adaptation) -> bool:
    return core.adaptations.get(of.tenant_id, job.id).status == "succeeded"


def test_what_a_living_process_owns_is_left_alone_until_it_dies(core: Core) -> None:
    made = project(core, "left")
    core.samples.add(made.id, samples())
    assert adapt(core, core.fast_lane, made).status == "succeeded"
    neighbour = Neighbour(core)
    jobs = [neighbour.adaptations.create(made.id, ask(core, made).request) for _ in range(2)]
    neighbour.adaptations.start(jobs[1].id)
    export = neighbour.exports.begin(made.id, 1, "fp32")
    assert neighbour.idempotency.begin(made.tenant_id, "key", "print") == Fresh()

    assert not soon(lambda: any(has_ended(core, made, job) for job in jobs), 3 * LOOK_EVERY_S)
    with pytest.raises(Conflict, match="another process"):
        core.adaptations.start(jobs[0].id)
    with pytest.raises(Conflict, match="another process"):
        core.exports.start(export.id)
    core.exporting.submit(made, export).result(SOON_S)
    assert core.exports.get(made.tenant_id, export.id).status == "queued"
    with pytest.raises(Conflict):
        core.idempotency.begin(made.tenant_id, "key", "print")

    neighbour.die()
    assert soon(lambda: all(has_ended(core, made, job) for job in jobs), SOON_S)
    assert soon(lambda: core.exports.get(made.tenant_id, export.id).status == "succeeded", SOON_S)
    assert [core.adaptations.get(made.tenant_id, job.id).attempts for job in jobs] == [1, 2]
    assert core.idempotency.begin(made.tenant_id, "key", "print") == Fresh()
    with pytest.raises(Conflict):
        neighbour.adaptations.start(jobs[0].id)


def test_a_job_of_an_erased_project_goes_with_it(core: Core) -> None:
    made = project(core, "gone")
    neighbour = Neighbour(core)
    neighbour.adaptations.create(made.id, ask(core, made).request)
    assert core.projects.delete(made)
    neighbour.die()
    assert soon(lambda: neighbour.number not in core.adaptations.owners(), SOON_S)


def test_this_process_s_own_jobs_are_not_taken_twice(core: Core) -> None:
    made = project(core, "own")
    core.samples.add(made.id, samples())
    jobs = [ask(core, made) for _ in range(5)]
    for job in [core.fast_lane.submit(made, job) for job in jobs]:
        job.result(SOON_S)
    found = [core.adaptations.get(made.tenant_id, job.id) for job in jobs]
    assert [(job.status, job.attempts) for job in found] == [("succeeded", 1)] * 5
    assert not any(core.fast_lane.holds(job.id) for job in jobs)


def _nothing(taking_up: TakingUp) -> None: ...


@pytest.mark.parametrize("broken", [False, True])
def test_a_job_of_this_process_that_is_in_no_lane_goes_on(
    broken: bool, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the answer to whoever queued it was lost: its row was committed, and nobody hands it to a lane."""
    if broken:
        monkeypatch.setattr(TakingUp, "_take_strays", _nothing)
    made = project(core, f"stray-{broken}")
    core.samples.add(made.id, samples())
    assert adapt(core, core.fast_lane, made).status == "succeeded"
    jobs, export = [ask(core, made) for _ in range(2)], core.exports.begin(made.id, 1, "fp32")
    core.adaptations.start(jobs[1].id)

    def ended() -> bool:
        exported = core.exports.get(made.tenant_id, export.id).status == "succeeded"
        return exported and all(has_ended(core, made, job) for job in jobs)

    assert soon(ended, 5 * LOOK_EVERY_S if broken else SOON_S) != broken
    if not broken:
        assert [core.adaptations.get(made.tenant_id, job.id).attempts for job in jobs] == [1, 2]
