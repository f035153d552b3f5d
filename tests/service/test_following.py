"""How long an adaptation will still take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.core import Core
from service.following import eta_seconds, followed
from tests.jobs.working import ask, core_at, project
from tsugiki.backbones import Loaded
from tsugiki.domain import Adaptation, Json, Project


@pytest.fixture(scope="module")
def core(make_home: Callable[[], Path], tiny: Loaded) -> Iterator[Core]:
    with core_at(make_home(), tiny.source.folder) as made:
        yield made


def plan(seconds: float) -> Json:
    return {
        "chosen": "lora",
        "candidates": [{"method": "head", "seconds": 1e6}, {"method": "lora", "seconds": seconds}],
    }


def now(core: Core, of: Project, job: Adaptation) -> Adaptation:
    return core.adaptations.get(of.tenant_id, job.id)


def test_the_time_left_is_told_from_the_plan_on_and_never_below_nothing(core: Core) -> None:
    made = project(core, "timed")
    job = ask(core, made)
    assert eta_seconds(core, job) is None
    assert followed(core, job)["progress"]["queue_position"] == 0
    attempt = core.adaptations.start(job.id)
    assert eta_seconds(core, now(core, made, job)) is None, "no plan yet"
    core.adaptations.report(job.id, attempt, "plan", 0.4, plan(1_000.0))
    first = followed(core, now(core, made, job))["progress"]["eta_seconds"]
    assert first is not None and 900.0 < first <= 1_000.0
    core.adaptations.report(job.id, attempt, "train", 0.5)
    assert 900.0 < (eta_seconds(core, now(core, made, job)) or 0.0) <= 1_000.0
    core.adaptations.report(job.id, attempt, "evaluate", 0.9, plan(0.0))
    assert eta_seconds(core, now(core, made, job)) == 0.0


def test_another_attempt_begins_to_count_anew(core: Core) -> None:
    made = project(core, "again")
    job = ask(core, made)
    attempt = core.adaptations.start(job.id)
    core.adaptations.report(job.id, attempt, "train", 0.5, plan(1_000.0))
    attempt = core.adaptations.start(job.id)
    assert eta_seconds(core, now(core, made, job)) is None
    core.adaptations.report(job.id, attempt, "train", 0.5)
    assert (eta_seconds(core, now(core, made, job)) or 0.0) > 900.0
    core.adaptations.fail(job.id, attempt, {"code": "x"}, {})
    assert eta_seconds(core, now(core, made, job)) is None
