from collections.abc import Callable

import pytest

from tests.storage.making import Stores, new_version
from tsugiki.domain import Adaptation, Project
from tsugiki.errors import Conflict, NotFound


def made(stores: Stores) -> tuple[Project, Adaptation]:
    project = stores.project()
    return project, stores.adaptations.create(project.id, {"method": "auto"})


def test_a_new_adaptation_waits(stores: Stores) -> None:
    project, job = made(stores)
    assert (job.status, job.phase, job.attempts, job.request) == ("queued", "validate", 0, {"method": "auto"})
    assert stores.adaptations.get(project.tenant_id, job.id) == job
    assert stores.adaptations.list(project.id).data == (job,)


def test_each_start_fences_off_the_one_before(stores: Stores) -> None:
    project, job = made(stores)
    zombie, attempt = stores.adaptations.start(job.id), stores.adaptations.start(job.id)
    assert (zombie, attempt) == (1, 2)
    stores.adaptations.report(job.id, attempt, "train", 0.5, {"chosen": "head"})
    for write in (
        lambda: stores.adaptations.report(job.id, zombie, "embed", 0.1),
        lambda: stores.adaptations.fail(job.id, zombie, {}, {}),
    ):
        with pytest.raises(Conflict) as refused:
            write()
        assert refused.value.reason == "fenced"
    now = stores.adaptations.get(project.tenant_id, job.id)
    assert (now.status, now.phase, now.fraction, now.plan) == ("running", "train", 0.5, {"chosen": "head"})


def succeed(stores: Stores, project: Project, job: str, attempt: int) -> None:
    new = new_version(project, stores.database.ids.new("snp"))
    stores.registry.publish(project.id, new, job, attempt, None, None, {}, {}, job)


ENDS: dict[str, Callable[[Stores, Project, str, int], object]] = {
    "succeeded": succeed,
    "failed": lambda stores, project, job, attempt: stores.adaptations.fail(job, attempt, {"code": "x"}, {}),
    "cancelled": lambda stores, project, job, attempt: stores.adaptations.cancel(project.tenant_id, job),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_end_is_never_left_again(stores: Stores, end: str) -> None:
    project, job = made(stores)
    attempt = stores.adaptations.start(job.id)
    ENDS[end](stores, project, job.id, attempt)
    ended = stores.adaptations.get(project.tenant_id, job.id)
    assert (ended.status, ended.finished_at) == (end, stores.clock())
    for write in (
        lambda: stores.adaptations.start(job.id),
        lambda: stores.adaptations.report(job.id, attempt, "train", 0.1),
        lambda: stores.adaptations.fail(job.id, attempt, {"code": "late"}, {}),
        lambda: succeed(stores, project, job.id, attempt),
    ):
        with pytest.raises(Conflict) as refused:
            write()
        assert refused.value.reason == "fenced"
    assert stores.adaptations.cancel(project.tenant_id, job.id) == ended
    assert stores.adaptations.get(project.tenant_id, job.id) == ended
    assert len(stores.registry.list(project.id).data) == (end == "succeeded")


def test_a_queued_adaptation_is_cancelled_at_once(stores: Stores) -> None:
    project, job = made(stores)
    assert not stores.adaptations.is_cancelled(job.id)
    assert stores.adaptations.cancel(project.tenant_id, job.id).status == "cancelled"
    assert stores.adaptations.is_cancelled(job.id)


def test_work_for_an_erased_project_is_cancelled(stores: Stores) -> None:
    project, job = made(stores)
    stores.projects.delete(project)
    assert stores.adaptations.is_cancelled(job.id)
    for write in (
        lambda: stores.adaptations.start(job.id),
        lambda: stores.adaptations.add_event(job.id, "message", {}),
        lambda: stores.adaptations.create(project.id, {}),
    ):
        with pytest.raises(NotFound):
            write()


def test_what_did_not_end_is_found_after_a_restart(stores: Stores) -> None:
    project = stores.project()
    queued, running, ended = (stores.adaptations.create(project.id, {}) for _ in range(3))
    stores.adaptations.start(running.id)
    stores.adaptations.cancel(project.tenant_id, ended.id)
    assert [job.id for job in stores.adaptations.take_over({1})] == [queued.id, running.id]


def test_events_are_numbered_within_their_adaptation(stores: Stores) -> None:
    project, job = made(stores)
    other = stores.adaptations.create(project.id, {})
    stores.adaptations.add_event(other.id, "message", {})
    made_events = [stores.adaptations.add_event(job.id, "metric", {"loss": value}) for value in (2, 1)]
    assert [event.seq for event in made_events] == [1, 2]
    assert stores.adaptations.events(job.id) == made_events
    assert stores.adaptations.events(job.id, after_seq=1) == made_events[1:]


def test_a_foreign_adaptation_is_not_found(stores: Stores) -> None:
    _, job = made(stores)
    other = stores.tenants.create("other")
    for call in (stores.adaptations.get, stores.adaptations.cancel):
        with pytest.raises(NotFound):
            call(other.id, job.id)
    assert not stores.adaptations.is_cancelled(job.id)


def test_what_waits_knows_how_many_jobs_of_its_tenant_are_before_it(stores: Stores) -> None:
    project, first = made(stores)
    theirs = stores.project(tenant="other")
    stores.adaptations.create(theirs.id, {})
    second, third = (stores.adaptations.create(project.id, {}) for _ in range(2))
    stores.adaptations.start(first.id)
    assert [stores.adaptations.ahead(job) for job in (first, second, third)] == [0, 1, 2]
    stores.adaptations.cancel(project.tenant_id, second.id)
    assert stores.adaptations.ahead(third) == 1


def test_one_that_was_put_back_is_told_as_begun_and_one_that_only_waits_is_not(stores: Stores) -> None:
    """Who hands jobs on in their order waits for those that have not begun, and for no other."""
    project, job = made(stores)
    waiting = stores.adaptations.create(project.id, {})
    stores.adaptations.put_back(job.id, stores.adaptations.start(job.id), "memory", counted=True)
    told = {one.id: (one.running, one.begun) for one in stores.adaptations.unfinished()}
    assert told == {job.id: (False, True), waiting.id: (False, False)}
