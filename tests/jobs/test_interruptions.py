"""What may come between an adaptation and its end: a cancel, an erasure, a bug, a shutdown, a moment's trouble."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from service.core import Core
from tests.jobs.methods import Endless, Interrupted
from tests.jobs.working import SOON_S, adapt, ask, core_at, lane_of, live, project, samples
from tsugiki.backbones import Loaded
from tsugiki.errors import NotFound, Overloaded, StorageFull, TsugikiError, Unavailable
from tsugiki.jobs.fast_lane import FastLane

names = itertools.count()


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
