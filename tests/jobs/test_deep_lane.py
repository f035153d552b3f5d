"""The deep lane with a real trainer: what it makes goes live here, a tenant's jobs in turn, and can be called off."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from adapters.selection import plan
from service.core import Core
from tests.faults.several import soon
from tests.jobs.deep import FITTED, HOLD, LACKING, core_with_trainer, measured, methods
from tests.jobs.working import SOON_S, adapt, ask, live, project, samples
from tsugiki.backbones import Loaded
from tsugiki.domain import Adaptation, Budget, Json, MethodName, Plan, Profile, Project
from tsugiki.errors import Invalid, NotFound
from tsugiki.jobs.adapting import Stores, Tools
from tsugiki.jobs.deep_lane import DEEP, Untrained
from tsugiki.jobs.fast_lane import FastLane
from tsugiki.storage.features import Features

CANCELLED_S = 2.0  # what is promised
ENDED = ("succeeded", "failed", "cancelled")
names = itertools.count()


@pytest.fixture(scope="module")
def core(make_lone_home: Callable[[], Path], tiny: Loaded) -> Iterator[Core]:
    with core_with_trainer(measured(make_lone_home(), tiny), tiny.source.folder, trainer_jobs=2) as made:
        yield made


@pytest.fixture
def hold(core: Core) -> Iterator[Path]:
    """While this file is there, nothing is trained to its end."""
    path = core.settings.root / HOLD
    path.touch()
    yield path
    path.unlink(missing_ok=True)


def taught(core: Core, tenant_id: str | None = None) -> Project:
    name = f"deep-{next(names)}"
    made = project(core, name) if tenant_id is None else _of(core, tenant_id, name)
    core.samples.add(made.id, samples())
    return made


def _of(core: Core, tenant_id: str, name: str) -> Project:
    return core.projects.create(tenant_id, name, "text", "single_label", "tiny")


def train(core: Core, to: Project, method: str = "lora") -> Adaptation:
    wish = {"method": method, "budget": None, "hyperparameters": None, "promote": "gate"}
    return core.adaptations.create(to.id, wish, for_trainer=True)


def ambitious(core: Core) -> FastLane:
    """A fast lane whose plans name what should be tried next."""
    shallow = methods(core.settings.root)

    def planned(profile: Profile, budget: Budget, wanted: MethodName | Literal["auto"], given: Json) -> Plan:
        return replace(plan(shallow, profile, budget, wanted, given), next="lora")

    stores = Stores(
        core.adaptations, core.samples, Features(core.database), core.registry, partial(core.database.ids.new, "snp")
    )
    tools = Tools(core.backbones, {method.name: method for method in shallow}, planned, trains=True)
    return FastLane(stores, tools, workers=1, on_end=core.metrics.adaptation)


def now(core: Core, of: Project, job: Adaptation) -> Adaptation:
    return core.adaptations.get(of.tenant_id, job.id)


def trains(core: Core, of: Project, job: Adaptation) -> bool:
    return now(core, of, job).phase == "train"


def ended(core: Core, of: Project, job: Adaptation) -> Adaptation:
    assert soon(lambda: now(core, of, job).status in ENDED, SOON_S)
    return now(core, of, job)


def test_what_the_trainer_made_is_live_here_with_its_phases_told(core: Core) -> None:
    made = taught(core)
    done = ended(core, made, train(core, made))
    assert (done.status, done.version, done.attempts, done.error) == ("succeeded", 1, 1, None)
    assert live(core, made.id) == 1
    version = core.registry.get(made.id, 1)
    assert (version.method, version.lineage["adaptation"]) == ("lora", done.id)
    assert version.feature_space == core.backbones.backbone("tiny").space.id
    told = [event.data["phase"] for event in core.adaptations.events(done.id) if event.type == "phase"]
    assert told == ["validate", "embed", "audit", "plan", "train", "calibrate", "evaluate", "gate", "promote"]
    assert done.plan is not None and done.plan["chosen"] == "lora"
    assert done.timings.keys() >= {"embed_ms", "fit_ms", "evaluate_ms", "total_ms"}
    assert soon(lambda: "publish_ms" in now(core, made, done).timings, SOON_S)


def test_a_cancelled_one_stops_in_time_and_publishes_nothing(core: Core, hold: Path) -> None:
    made = taught(core)
    running, queued = train(core, made), train(core, made)
    assert soon(lambda: trains(core, made, running), SOON_S)
    for job in (queued, running):
        core.adaptations.cancel(made.tenant_id, job.id)
    other = taught(core)
    after = train(core, other)  # of the same tenant: it begins once the cancelled one has let go
    began = time.monotonic()
    assert soon(lambda: trains(core, other, after), SOON_S)
    assert time.monotonic() - began < CANCELLED_S
    hold.unlink()
    assert ended(core, other, after).status == "succeeded"
    assert [now(core, made, job).status for job in (running, queued)] == ["cancelled", "cancelled"]
    assert core.registry.list(made.id).data == ()


def test_two_tenants_train_side_by_side_and_the_second_job_of_one_waits(core: Core, hold: Path) -> None:
    mine, theirs = taught(core), taught(core, core.tenants.create("beside").id)
    first, second, other = train(core, mine), train(core, mine), train(core, theirs)
    assert soon(lambda: trains(core, mine, first) and trains(core, theirs, other), SOON_S)
    assert now(core, mine, second).status == "queued"
    assert core.deep_lane.waiting == 1
    hold.unlink()
    for project_, job in ((mine, first), (mine, second), (theirs, other)):
        assert ended(core, project_, job).status == "succeeded"
    assert [version.number for version in core.registry.list(mine.id).data] == [1, 2]


def test_a_backlog_of_one_tenant_is_before_nobody_else_s_first_job(core: Core, hold: Path) -> None:
    many = taught(core)
    backlog = [train(core, many) for _ in range(4)]
    assert soon(lambda: trains(core, many, backlog[0]), SOON_S)
    others = [(made, train(core, made)) for made in (taught(core, core.tenants.create(f"t{n}").id) for n in range(4))]
    hold.unlink()
    for made, job in [*((many, job) for job in backlog), *others]:
        assert ended(core, made, job).status == "succeeded"
    began = {job.id: core.adaptations.events(job.id)[0].at for job in [*backlog, *(job for _, job in others)]}
    assert max(began[job.id] for _, job in others) < began[backlog[2].id]


def test_nothing_of_a_project_reappears_that_is_erased_while_it_is_trained(core: Core, hold: Path) -> None:
    made = taught(core)
    job = train(core, made)
    assert soon(lambda: trains(core, made, job), SOON_S)
    assert core.projects.delete(made)
    other = taught(core)
    after = train(core, other)
    hold.unlink()
    assert ended(core, other, after).status == "succeeded"
    with pytest.raises(NotFound):
        now(core, made, job)
    files = [path for path in core.settings.root.rglob("*") if path.is_file()]
    assert not [path for path in files if made.id in str(path)]
    # By another process: one that closes a file loses its locks on it, and SQLite has this one's open.
    where = ["--recursive", "--files-with-matches", "--text", "--no-messages", "--exclude=trainer.db*"]
    found = subprocess.run(["grep", *where, "--", job.id, core.settings.root], capture_output=True, text=True)
    assert found.stdout == "" and found.returncode in (1, 2), found  # 2: a file went away meanwhile


@pytest.mark.parametrize("whose", ["numpy", "torch"])
def test_a_lack_of_memory_fails_the_job_as_such_after_its_attempts(core: Core, whose: str) -> None:
    lacking = core.settings.root / LACKING
    lacking.write_text(whose)
    made = taught(core)
    done = ended(core, made, train(core, made))
    lacking.unlink()
    assert (done.status, done.attempts) == ("failed", 3)
    assert done.error is not None and done.error["code"] == "out_of_memory" and done.error["fix"]
    assert "lora needs about " in done.error["detail"] and " MiB are free now" in done.error["detail"]
    assert ended(core, made, train(core, made)).status == "succeeded"


def test_what_the_plan_names_next_follows_in_the_background_and_has_to_pass_the_gate(core: Core, hold: Path) -> None:
    lane, made = ambitious(core), taught(core)
    for number in (1, 2):
        done = adapt(core, lane, made, promote="always")
        assert (done.status, live(core, made.id)) == ("succeeded", number)
        follower = core.adaptations.list(made.id).data[-1]
        assert (follower.request["follows"], follower.request["method"]) == (done.id, "lora")
        assert follower.plan is not None and follower.plan["chosen"] == "lora"
        if number == 1:
            core.adaptations.cancel(made.tenant_id, follower.id)
    assert soon(lambda: trains(core, made, follower), SOON_S)
    waiting = [adapt(core, lane, made) and core.adaptations.list(made.id).data[-1] for _ in range(2)]
    lane.close()
    assert [now(core, made, job).status for job in waiting] == ["cancelled", "queued"], "one that waits is enough"
    assert adapt(core, core.fast_lane, made).status == "succeeded"
    assert core.adaptations.list(made.id).data[-2].id == waiting[-1].id, "without a next nothing follows"
    hold.unlink()
    last = [ended(core, made, job) for job in (follower, waiting[-1])]
    assert [job.status for job in last] == ["succeeded", "succeeded"]
    assert all(job.gate is not None and "without comparison" not in job.gate["reason"] for job in last)


def test_the_fast_lane_hands_over_what_turns_out_to_be_deep(core: Core) -> None:
    made = taught(core)
    job = ask(core, made, method="lora")
    core.fast_lane.submit(made, job).result(SOON_S)
    done = ended(core, made, job)
    assert (done.status, done.attempts) == ("succeeded", 1)
    assert core.registry.get(made.id, 1).method == "lora"


def test_a_plan_leaves_deep_methods_out_where_no_trainer_is_wanted(core: Core) -> None:
    offered = [Untrained(method) if method.name in DEEP else method for method in methods(core.settings.root)]
    profile = Profile(24, 2, 12, 12, 32)
    chosen = plan(offered, profile, Budget(), "auto")
    assert chosen.chosen == "head"
    assert "TSUGIKI_TRAINER" in (chosen.candidates[-1].skipped or "")
    with pytest.raises(Invalid, match="TSUGIKI_TRAINER"):
        plan(offered, profile, Budget(), "lora")


def test_one_killed_while_it_trains_goes_on_in_another_process(core: Core, hold: Path) -> None:
    made = taught(core)
    job = train(core, made)
    assert soon(lambda: trains(core, made, job), SOON_S)
    assert core.keeper is not None and (killed := core.keeper.pid) is not None
    os.kill(killed, signal.SIGKILL)
    assert soon(lambda: now(core, made, job).attempts == 2 and trains(core, made, job), SOON_S)
    assert core.keeper.pid not in (None, killed)
    fitted = core.settings.root / FITTED
    fitted.touch()
    before = len(fitted.read_text())
    hold.unlink()
    done = ended(core, made, job)
    assert (done.status, done.attempts, done.version) == ("succeeded", 2, 1)
    assert len(fitted.read_text()) == before + 1
