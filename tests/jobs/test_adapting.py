"""An adaptation from samples to a live version, in process, on the tiny backbone."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from service.core import Core
from tests.jobs.methods import Interrupted
from tests.jobs.working import Watched, adapt, lane_of, live, project, samples
from tsugiki.domain import LIVE, Budget, Fitted, Policy, TrainingSet, Version
from tsugiki.jobs.fast_lane import FastLane
from tsugiki.ports import Backbone, Progress

names = itertools.count()


class Careless(Interrupted):
    """Mixes up which label belongs to which sample before it fits."""

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        shuffled = np.random.default_rng(0).permutation(data.targets)
        return super().fit(backbone, replace(data, targets=shuffled), budget, progress)


def test_samples_become_a_live_version_that_tells_how_it_was_made(core: Core, lane: FastLane) -> None:
    made = project(core, "whole")
    core.samples.add(made.id, samples())
    done = adapt(core, lane, made)
    assert (done.status, done.version, done.fraction, done.error) == ("succeeded", 1, 1.0, None)
    assert done.gate is not None
    assert done.gate["promoted"]
    assert done.timings.keys() == {"embed_ms", "audit_ms", "fit_ms", "evaluate_ms", "plan_ms", "publish_ms", "total_ms"}
    assert done.plan is not None
    assert done.plan["chosen"] == "head"
    phases = [event.data["phase"] for event in core.adaptations.events(done.id) if event.type == "phase"]
    order = ["validate", "embed", "audit", "plan", "train", "evaluate", "gate", "promote"]
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
    assert len(watched.rows) == 22
    assert sorted(watched.rows[20:]) == ["billing", "delivery"], "what the labels are called"
    adapt(core, lane, made)
    assert len(watched.rows) == 22
    core.samples.add(made.id, samples(3, first=10))
    adapt(core, lane, made)
    assert sorted(watched.rows[22:]) == sorted(sample.content for sample in samples(3, first=10))
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
    assert len(watched.rows) == 16 + 3
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


def test_a_policy_changed_meanwhile_holds_for_what_is_published_then(core: Core) -> None:
    made = project(core, "mine now")
    core.samples.add(made.id, samples())
    method = Interrupted(lambda: core.projects.update(made.id, policy=lambda policy: replace(policy, promote="manual")))
    lane = lane_of(core, methods=[method])
    done = adapt(core, lane, made)
    assert done.gate is not None
    assert (done.status, done.version, live(core, made.id)) == ("succeeded", 1, None)
    assert "left to you" in done.gate["reason"]
    lane.close()


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
    assert [move.from_version for move in core.registry.history(made.id, LIVE).data] == [1, 2, 1, None]
    assert core.registry.get(made.id, 3).lineage["parent"] == 1
    lane.close()


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
