"""kill -9 of the trainer in each phase, of what keeps it, and the end of all: I1, I4, I7."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from service.core import Core
from service.keeping import STOP_S
from service.launch import Running, serving
from service.trainer import NICE
from tests.faults.several import soon, workers
from tests.jobs.deep import DIE, FITTED, HOLD, OOM, core_with_trainer, measured
from tests.jobs.working import live, project, samples
from tsugiki.backbones import Loaded
from tsugiki.domain import Adaptation
from tsugiki.jobs.deep_jobs import StepName

RESUMED_S = 40.0  # reliability: a killed trainer's job goes on within
POINTS = [f"{name} {when}" for name in get_args(StepName) for when in ("before", "after")]


@pytest.fixture(scope="module")
def core(make_lone_home: Callable[[], Path], tiny: Loaded) -> Iterator[Core]:
    with core_with_trainer(measured(make_lone_home(), tiny), tiny.source.folder) as made:
        yield made


def train(core: Core, name: str) -> Adaptation:
    made = project(core, name)
    core.samples.add(made.id, samples())
    wish = {"method": "lora", "budget": None, "hyperparameters": None, "promote": "gate"}
    return core.adaptations.create(made.id, wish, for_trainer=True)


def now(core: Core, job: Adaptation) -> Adaptation:
    return core.adaptations.get(core.projects.owned(job.project_id).tenant_id, job.id)


@pytest.mark.parametrize("point", POINTS)
def test_a_job_whose_trainer_is_killed_goes_on_and_makes_one_version(core: Core, point: str) -> None:
    fitted = core.settings.root / FITTED
    before = len(fitted.read_text()) if fitted.exists() else 0
    (core.settings.root / DIE).write_text(point)
    job = train(core, point.replace(" ", "-"))
    assert soon(lambda: now(core, job).status not in ("queued", "running"), RESUMED_S), now(core, job)
    done = now(core, job)
    assert soon(lambda: not (core.settings.root / DIE).exists(), RESUMED_S), "the trainer was killed"
    # Killed once the publishing transaction was through, there is nothing left to do.
    assert (done.status, done.attempts, done.version) == ("succeeded", 1 if point == "promote after" else 2, 1)
    assert [version.number for version in core.registry.list(job.project_id).data] == [1]
    assert live(core, job.project_id) == 1
    assert len(fitted.read_text()) == before + 1, "what was trained is not trained again"


def test_samples_deleted_while_a_job_waits_are_not_trained_on(core: Core) -> None:
    (core.settings.root / DIE).write_text("embed after")
    assert core.keeper is not None
    first = core.keeper.pid
    job = train(core, "deleted")
    assert soon(lambda: core.keeper is not None and core.keeper.pid != first, RESUMED_S)
    gone = core.samples.list(job.project_id).data[0].id
    core.samples.delete(job.project_id, gone)
    assert soon(lambda: now(core, job).status == "succeeded", RESUMED_S)
    snapshot = core.registry.snapshot(core.registry.get(job.project_id, 1).snapshot)
    assert len(snapshot.sample_ids) == 2 * 12 - 1 and gone not in snapshot.sample_ids


def test_a_job_that_kills_each_trainer_is_given_up(core: Core) -> None:
    (core.settings.root / DIE).write_text("train before always")
    job = train(core, "poison")
    assert soon(lambda: now(core, job).status == "failed", 2 * RESUMED_S)
    (core.settings.root / DIE).unlink()
    done = now(core, job)
    assert done.error is not None and done.error["code"] == "attempts_exhausted"
    assert core.registry.list(job.project_id).data == ()
    after = train(core, "after-poison")
    assert soon(lambda: now(core, after).status == "succeeded", RESUMED_S)


def test_a_job_whose_trainers_the_kernel_ends_for_their_memory_fails_as_such(core: Core) -> None:
    counter, die = core.settings.root / OOM, core.settings.root / DIE
    counter.write_text("oom_kill 4\n")
    die.write_text("train before always")
    job = train(core, "greedy")
    assert soon(lambda: now(core, job).status == "failed", 2 * RESUMED_S)
    die.unlink()
    counter.unlink()
    done = now(core, job)
    assert done.error is not None and (done.error["code"], done.attempts) == ("out_of_memory", 4)
    assert "lora needs about " in done.error["detail"] and done.error["fix"]
    messages = [event.data for event in core.adaptations.events(job.id) if event.type == "message"]
    assert [message["code"] for message in messages] == ["out_of_memory"] * 3
    after = train(core, "after-greedy")
    assert soon(lambda: now(core, after).status == "succeeded", RESUMED_S)


def test_the_end_of_the_service_puts_a_training_back_and_the_next_start_goes_on_with_it(
    make_lone_home: Callable[[], Path], tiny: Loaded
) -> None:
    home = measured(make_lone_home(), tiny)
    (home / HOLD).touch()
    with core_with_trainer(home, tiny.source.folder) as before:
        job = train(before, "interrupted")
        assert soon(lambda: now(before, job).phase == "train", RESUMED_S)
        assert before.keeper is not None and (trainer := before.keeper.pid) is not None
        began = time.monotonic()
    assert time.monotonic() - began < STOP_S and not alive(trainer), "it stopped by itself"
    (home / HOLD).unlink()
    with core_with_trainer(home, tiny.source.folder) as after:
        found = now(after, job)
        assert (found.status, found.attempts) in (("queued", 0), ("running", 1))
        assert soon(lambda: now(after, job).status == "succeeded", RESUMED_S)
        assert (now(after, job).attempts, live(after, job.project_id)) == (1, 1)


@pytest.fixture
def running(make_home: Callable[[], Path], tiny_environment: dict[str, str]) -> Iterator[Running]:
    with serving(make_home(), env={**tiny_environment, "TSUGIKI_TRAINER": "on"}) as made:
        yield made


def trainers(running: Running) -> list[int]:
    """Of the workers of the service that live."""
    found: list[int] = []
    for worker in workers(running):
        children = Path(f"/proc/{worker}/task")
        for thread in children.iterdir() if children.exists() else ():
            found += [int(pid) for pid in (thread / "children").read_text().split()]
    return [pid for pid in found if b"service.trainer" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_the_trainer_lives_and_ends_with_the_service_and_is_replaced_when_it_dies(running: Running) -> None:
    assert soon(lambda: len(trainers(running)) == 1, RESUMED_S)
    (first,) = trainers(running)
    os.kill(first, signal.SIGKILL)
    # One look: between two, the first may have gone and the second not have come.
    assert soon(lambda: len(found := trainers(running)) == 1 and found != [first], RESUMED_S)
    (second,) = trainers(running)
    (worker,) = workers(running)
    os.kill(worker, signal.SIGKILL)
    assert soon(lambda: not alive(second), RESUMED_S), "nobody would stop it any more"
    assert soon(lambda: len(trainers(running)) == 1, RESUMED_S), "the next worker has another"
    (third,) = trainers(running)
    assert soon(lambda: os.getpriority(os.PRIO_PROCESS, third) == NICE, RESUMED_S), "it gives way to what serves"
    session = Path(f"/proc/{third}/autogroup")
    lowered = f"nice {NICE}\n"
    assert not session.exists() or soon(lambda: session.read_text().endswith(lowered), RESUMED_S), "its session too"
    os.kill(running.pid, signal.SIGTERM)
    assert soon(lambda: not alive(third), RESUMED_S)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
