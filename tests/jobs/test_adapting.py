"""An adaptation from samples to a live version, in process, on the tiny backbone."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from adapters.head import HeadMethod
from service.wiring import Core
from tests.jobs.working import SOON_S, Watched, adapt, ask, core_at, lane_of, project, samples
from tsugiki.backbones import Loaded
from tsugiki.domain import LIVE, Budget, Fitted, MethodName, Policy, Profile, TrainingSet, Verdict, Version
from tsugiki.errors import NotFound, Overloaded, StorageFull, TsugikiError, Unavailable
from tsugiki.jobs.fast_lane import FastLane
from tsugiki.ports import Backbone, Progress

names = itertools.count()


@pytest.fixture
def lane(core: Core) -> Iterator[FastLane]:
    made = lane_of(core)
    yield made
    made.close()


@dataclass(slots=True)
class Interrupted:
    """The head, fitted for real; something else happens once it is."""

    meanwhile: Callable[[], object]
    fitted: int = 0
    method: HeadMethod = field(default_factory=HeadMethod)

    @property
    def name(self) -> MethodName:
        return self.method.name

    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        return self.method.assess(profile, budget)

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        self.fitted += 1
        found = self.method.fit(backbone, data, budget, progress)
        self.meanwhile()
        progress.check()
        return found


class Endless(Interrupted):
    """Never done: only a look at whether to stop ends it."""

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        self.meanwhile()
        while True:
            progress.check()


class Careless(Interrupted):
    """Mixes up which label belongs to which sample before it fits."""

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        shuffled = np.random.default_rng(0).permutation(data.targets)
        return super().fit(backbone, replace(data, targets=shuffled), budget, progress)


def live(core: Core, project_id: str) -> int | None:
    alias = core.registry.alias(project_id, LIVE)
    return None if alias is None else alias.version


def test_samples_become_a_live_version_that_tells_how_it_was_made(core: Core, lane: FastLane) -> None:
    made = project(core, "whole")
    core.samples.add(made.id, samples())
    done = adapt(core, lane, made)
    assert (done.status, done.version, done.fraction, done.error) == ("succeeded", 1, 1.0, None)
    assert done.gate is not None
    assert done.gate["promoted"]
    assert done.timings.keys() == {"embed_ms", "fit_ms", "evaluate_ms", "publish_ms", "total_ms"}
    assert done.plan is not None
    assert done.plan["chosen"] == "head"
    phases = [event.data["phase"] for event in core.adaptations.events(done.id) if event.type == "phase"]
    order = ["validate", "embed", "plan", "train", "evaluate", "gate", "promote"]
    assert [phase for phase in phases if phase in order] == order
    assert live(core, made.id) == 1
    version = core.registry.get(made.id, 1)
    assert version.labels == ("billing", "delivery")
    assert version.lineage["adaptation"] == done.id
    snapshot = core.registry.snapshot(version.snapshot)
    assert len(snapshot.sample_ids) == 24
    assert set(core.registry.evaluation(version)["held_out"]) <= set(snapshot.sample_ids)


def test_the_same_samples_and_seed_give_the_same_graft_in_any_project(core: Core, lane: FastLane) -> None:
    versions: list[Version] = []
    for name in ("once", "twice"):
        made = project(core, name)
        core.samples.add(made.id, samples())
        adapt(core, lane, made, hyperparameters={"seed": 5})
        adapt(core, lane, made, hyperparameters={"seed": 5})
        versions += core.registry.list(made.id).data
    assert [version.number for version in versions] == [1, 2, 1, 2]
    assert len({version.digest for version in versions}) == 1


def test_what_was_embedded_once_is_not_embedded_again(core: Core) -> None:
    watched = Watched(core.backbones)
    lane = lane_of(core, embedder=watched)
    made = project(core, "embedded")
    core.samples.add(made.id, samples(10))
    adapt(core, lane, made)
    assert len(watched.rows) == 20
    adapt(core, lane, made)
    assert len(watched.rows) == 20
    core.samples.add(made.id, samples(3, first=10))
    adapt(core, lane, made)
    assert sorted(watched.rows[20:]) == sorted(sample.content for sample in samples(3, first=10))
    lane.close()


def test_labels_and_deletions_count_as_they_are_when_it_starts(core: Core) -> None:
    watched = Watched(core.backbones)
    lane = lane_of(core, embedder=watched)
    made = project(core, "corrected")
    stored = [outcome.id or "" for outcome in core.samples.add(made.id, samples(8))]
    adapt(core, lane, made)
    core.samples.set_label(made.id, stored[0], "fraud")
    core.samples.set_label(made.id, stored[1], "fraud")
    core.samples.delete(made.id, stored[2])
    core.samples.set_label(made.id, stored[3], None)
    adapt(core, lane, made)
    second = core.registry.get(made.id, 2)
    snapshot = core.registry.snapshot(second.snapshot)
    assert second.labels == ("billing", "delivery", "fraud")
    told = dict(zip(snapshot.sample_ids, (snapshot.labels[target] for target in snapshot.targets), strict=True))
    assert told.keys() == set(stored) - {stored[2], stored[3]}
    assert (told[stored[0]], told[stored[1]], told[stored[4]]) == ("fraud", "fraud", "billing")
    assert len(watched.rows) == 16
    lane.close()


@pytest.mark.parametrize(
    ("promote", "policy", "promoted", "reason"),
    [
        ("gate", Policy(), True, "first version"),
        ("always", Policy(), True, "as requested"),
        ("never", Policy(), False, "left to you"),
        ("gate", Policy(promote="manual"), False, "left to you"),
        ("always", Policy(promote="manual"), True, "as requested"),
    ],
)
def test_the_gate_says_why(
    core: Core, lane: FastLane, promote: str, policy: Policy, promoted: bool, reason: str
) -> None:
    made = project(core, f"gate-{next(names)}", policy)
    core.samples.add(made.id, samples())
    done = adapt(core, lane, made, promote=promote)
    assert done.gate is not None
    assert done.gate["promoted"] is promoted
    assert reason in done.gate["reason"]
    assert live(core, made.id) == (1 if promoted else None)
    assert core.registry.get(made.id, 1).number == 1


def test_a_version_shown_to_be_worse_does_not_go_live(core: Core, lane: FastLane) -> None:
    made = project(core, "worse")
    core.samples.add(made.id, samples(36))
    adapt(core, lane, made)
    careless = lane_of(core, methods=[Careless(lambda: None)])
    done = adapt(core, careless, made)
    assert (done.status, done.version) == ("succeeded", 2)
    assert done.gate is not None
    assert not done.gate["promoted"]
    assert "worse than the live version" in done.gate["reason"]
    assert done.gate["ci95"][1] < 0
    assert live(core, made.id) == 1
    assert adapt(core, careless, made, promote="always").version == live(core, made.id) == 3
    careless.close()


def test_an_alias_moved_meanwhile_is_compared_with_anew(core: Core) -> None:
    made = project(core, "moved")
    core.samples.add(made.id, samples())
    first = lane_of(core)
    adapt(core, first, made)
    adapt(core, first, made)
    first.close()
    method = Interrupted(lambda: core.registry.move(made.id, LIVE, 1, reason="by hand"))
    lane = lane_of(core, methods=[method])
    done = adapt(core, lane, made)
    assert (done.status, done.version, live(core, made.id), method.fitted) == ("succeeded", 3, 3, 1)
    assert [move.from_version for move in core.registry.history(made.id, LIVE)] == [1, 2, 1, None]
    assert core.registry.get(made.id, 3).lineage["parent"] == 1
    lane.close()


def test_a_cancelled_adaptation_stops_and_publishes_nothing(core: Core) -> None:
    made = project(core, "cancelled")
    core.samples.add(made.id, samples())
    method = Interrupted(
        lambda: [core.adaptations.cancel(made.tenant_id, job.id) for job in core.adaptations.list(made.id).data]
    )
    lane = lane_of(core, methods=[method])
    done = adapt(core, lane, made)
    assert (done.status, done.version) == ("cancelled", None)
    assert core.registry.list(made.id).data == ()
    assert live(core, made.id) is None
    waiting = ask(core, made)
    core.adaptations.cancel(made.tenant_id, waiting.id)
    lane.submit(made, waiting).result(SOON_S)
    assert method.fitted == 1, "one cancelled while it waited is never begun"
    assert core.adaptations.get(made.tenant_id, waiting.id).status == "cancelled"
    lane.close()


def test_nothing_of_a_project_reappears_that_is_erased_while_it_adapts(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    made = project(core, "erased")
    core.samples.add(made.id, samples())
    method = Interrupted(lambda: core.projects.delete(made))
    lane = lane_of(core, methods=[method])
    adaptation = ask(core, made)
    lane.submit(made, adaptation).result(SOON_S)
    lane.close()
    assert method.fitted == 1
    with pytest.raises(NotFound):
        core.adaptations.get(made.tenant_id, adaptation.id)
    with pytest.raises(NotFound):
        core.projects.owned(made.id)
    assert not [path for path in core.settings.root.rglob("*") if made.id in str(path) and path.is_file()]
    assert "without recording it" not in caplog.text


def test_a_failure_is_recorded_without_a_word_of_the_samples(core: Core, lane: FastLane) -> None:
    made = project(core, "alone")
    core.samples.add(made.id, [sample for sample in samples() if sample.label == "billing"])
    done = adapt(core, lane, made)
    assert done.status == "failed"
    assert done.error is not None
    assert done.error["code"] == "too_few_labels"
    assert done.error["fix"]
    assert "money" not in str(done.error)


def test_a_bug_in_a_method_fails_its_job_and_not_the_lane(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    def bug() -> None:
        raise ZeroDivisionError("secret")

    made = project(core, "bug")
    core.samples.add(made.id, samples())
    broken = lane_of(core, methods=[Interrupted(bug)])
    done = [adapt(core, broken, made) for _ in range(2)]
    broken.close()
    assert [one.status for one in done] == ["failed", "failed"]
    assert "secret" not in str(done[0].error)
    assert "ZeroDivisionError" in str(done[0].error)
    assert "secret" in caplog.text


def test_jobs_of_two_tenants_run_beside_each_other(core: Core) -> None:
    meet = threading.Barrier(2, timeout=SOON_S)
    lane = lane_of(core, methods=[Interrupted(meet.wait)])
    mine = project(core, "beside")
    other = core.tenants.create("beside")
    theirs = core.projects.create(other.id, "beside", "text", "single_label", "tiny")
    jobs = [(made, ask(core, made)) for made in (mine, theirs)]
    for made, _ in jobs:
        core.samples.add(made.id, samples())
    for future in [lane.submit(made, job) for made, job in jobs]:
        future.result(SOON_S)
    assert [live(core, made.id) for made, _ in jobs] == [1, 1]
    lane.close()


def test_a_start_takes_up_what_was_left_once_and_gives_up_after_three_attempts(
    make_home: Callable[[], Path], tiny: Loaded
) -> None:
    home = make_home()
    with core_at(home, tiny.source.folder) as before:
        made = project(before)
        before.samples.add(made.id, samples())
        queued, killed, hopeless = ask(before, made), ask(before, made), ask(before, made)
        before.adaptations.start(killed.id)
        for _ in range(3):
            before.adaptations.start(hopeless.id)
    with core_at(home, tiny.source.folder) as after:
        # The lane runs a tenant's jobs in order: one more behind them is done when they are.
        last = ask(after, made)
        after.fast_lane.submit(made, last).result(SOON_S)
        ended = {job.id: job for job in after.adaptations.list(made.id).data}
        assert [ended[job.id].status for job in (queued, killed, hopeless, last)] == [
            *("succeeded", "succeeded"),
            *("failed", "succeeded"),
        ]
        assert [ended[job.id].attempts for job in (queued, killed, hopeless)] == [1, 2, 4]
        assert (ended[hopeless.id].error or {})["code"] == "attempts_exhausted"
        assert [version.number for version in after.registry.list(made.id).data] == [1, 2, 3]
        assert live(after, made.id) == 3


def test_what_is_told_of_the_whole_never_falls(core: Core, lane: FastLane) -> None:
    made = project(core, "progress")
    core.samples.add(made.id, samples(24))
    done = adapt(core, lane, made)
    told = [event.data for event in core.adaptations.events(done.id) if event.type == "phase"]
    fractions = [one["fraction"] for one in told]
    assert fractions == sorted(fractions)
    by_phase = {one["phase"]: one["fraction"] for one in told}
    assert 0.45 == by_phase["train"] < 0.85 == by_phase["calibrate"] < 0.9 == by_phase["evaluate"]
    metrics = [event.data for event in core.adaptations.events(done.id) if event.type == "metric"]
    assert [metric["name"] for metric in metrics] == ["held_out_log_loss"]


def test_a_method_gets_what_embedding_left_of_the_budget(core: Core) -> None:
    budgets: list[float | None] = []

    class Told(Interrupted):
        def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
            budgets.append(budget.seconds)
            return super().fit(backbone, data, budget, progress)

    made = project(core, "budget")
    core.samples.add(made.id, samples())
    lane = lane_of(core, methods=[Told(lambda: None)])
    for budget in (None, {"seconds": 50.0}, {"seconds": 1e-9}):
        assert adapt(core, lane, made, budget=budget).status == "succeeded"
    lane.close()
    none, most, nothing = budgets
    assert (none, nothing) == (None, 0.0)
    assert most is not None
    assert 0 < most < 50


def test_closing_puts_a_running_adaptation_back_as_if_it_had_not_begun(core: Core) -> None:
    made = project(core, "stopped")
    core.samples.add(made.id, samples())
    begun = threading.Semaphore(0)
    lane = lane_of(core, methods=[Endless(begun.release)])
    adaptation = ask(core, made)
    for _ in range(4):  # more often than it would be tried
        done = lane.submit(made, adaptation)
        assert begun.acquire(timeout=SOON_S)
        lane.close()
        done.result(SOON_S)
        found = core.adaptations.get(made.tenant_id, adaptation.id)
        assert (found.status, found.phase, found.fraction, found.attempts) == ("queued", "validate", 0.0, 0)
        lane = lane_of(core, methods=[Endless(begun.release)])
    lane.close()
    lane = lane_of(core)
    lane.submit(made, adaptation).result(SOON_S)
    lane.close()
    found = core.adaptations.get(made.tenant_id, adaptation.id)
    assert (found.status, found.attempts, found.version) == ("succeeded", 1, 1)


@pytest.mark.parametrize("trouble", [Unavailable("away"), StorageFull("no room"), Overloaded("full")])
def test_a_moment_s_trouble_is_outlasted(core: Core, trouble: TsugikiError) -> None:
    troubles = [trouble, trouble]

    def meet() -> None:
        if troubles:
            raise troubles.pop()

    made = project(core, f"trouble-{next(names)}")
    core.samples.add(made.id, samples())
    lane = lane_of(core, methods=[Interrupted(meet)])
    done = adapt(core, lane, made)
    lane.close()
    assert (done.status, done.attempts, done.version) == ("succeeded", 3, 1)
    messages = [event.data["text"] for event in core.adaptations.events(done.id) if event.type == "message"]
    assert messages == [f"{trouble.detail}; it is tried again"] * 2


def test_lasting_trouble_is_given_up_and_told(core: Core) -> None:
    def away() -> None:
        raise Unavailable("the engine is away")

    made = project(core, "lasting")
    core.samples.add(made.id, samples())
    method = Interrupted(away)
    lane = lane_of(core, methods=[method])
    done = adapt(core, lane, made)
    lane.close()
    assert (done.status, done.attempts, method.fitted) == ("failed", 3, 3)
    assert (done.error or {})["detail"] == "the engine is away"


def test_what_is_cancelled_while_in_trouble_stays_cancelled(core: Core) -> None:
    made = project(core, "cancelled-in-trouble")
    core.samples.add(made.id, samples())

    def cancel() -> None:
        for job in core.adaptations.list(made.id).data:
            core.adaptations.cancel(made.tenant_id, job.id)
        raise Unavailable("away")

    method = Interrupted(cancel)
    lane = lane_of(core, methods=[method])
    assert adapt(core, lane, made).status == "cancelled"
    assert method.fitted == 1
    lane.close()
