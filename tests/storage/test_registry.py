import dataclasses
import threading

import numpy as np
import pytest

from tests.storage.making import Stores, new_version
from tsugiki.domain import Project, Version
from tsugiki.errors import ArtifactCorrupt, Conflict, NotFound
from tsugiki.storage.registry import Registry


def running(stores: Stores, project: Project) -> tuple[str, int]:
    job = stores.adaptations.create(project.id, {})
    return job.id, stores.adaptations.start(job.id)


def publish(stores: Stores, project: Project, job: str, attempt: int, expected: int | None = None) -> Version:
    new = new_version(project, stores.database.ids.new("snp"))
    return stores.registry.publish(project.id, new, job, attempt, "live", expected, {"reason": "r"}, {"ms": 1}, job)


def served(stores: Stores, project: Project) -> int | None:
    alias = stores.registry.alias(project.id, "live")
    return alias.version if alias else None


def test_a_published_version_is_whole_and_live(stores: Stores) -> None:
    project = stores.project()
    job, attempt = running(stores, project)
    version = publish(stores, project, job, attempt)
    assert stores.registry.get(project.id, 1) == version
    assert served(stores, project) == 1
    graft = stores.registry.graft(version)
    np.testing.assert_array_equal(graft.head.weight, np.ones((2, 4), np.float32))
    assert stores.registry.evaluation(version) == {"accuracy": {"value": 0.5}}
    assert stores.registry.snapshot(version.snapshot).targets == (0, 1)
    ended = stores.adaptations.get(project.tenant_id, job)
    assert (ended.status, ended.version, ended.fraction, ended.phase) == ("succeeded", 1, 1.0, "promote")
    assert (ended.gate, ended.timings, ended.finished_at) == ({"reason": "r"}, {"ms": 1}, stores.clock())
    assert stores.moved == [project.id]


def test_numbers_count_up_within_a_project(stores: Stores) -> None:
    one, two = stores.project("one"), stores.project("two")
    made = [stores.publish(project, promote_to=None).number for project in (one, one, two, one)]
    assert made == [1, 2, 1, 3]
    page = stores.registry.list(one.id, limit=2)
    assert ([version.number for version in page.data], page.has_more) == ([1, 2], True)
    assert [version.number for version in stores.registry.list(one.id, after=2).data] == [3]


def test_a_version_that_is_not_promoted_moves_nothing(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project, promote_to=None)
    assert served(stores, project) is None
    assert stores.moved == []


def test_an_alias_that_moved_meanwhile_publishes_nothing(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    job, attempt = running(stores, project)
    stores.publish(project, expected=1)
    with pytest.raises(Conflict, match=r"expected at version 1 .* at version 2") as refused:
        publish(stores, project, job, attempt, expected=1)
    assert refused.value.reason == "alias_moved"
    assert len(stores.registry.list(project.id).data) == 2
    assert stores.adaptations.get(project.tenant_id, job).status == "running"
    assert publish(stores, project, job, attempt, expected=2).number == 3


def test_only_the_newest_attempt_of_a_running_adaptation_publishes(stores: Stores) -> None:
    project = stores.project()
    job, zombie = running(stores, project)
    attempt = stores.adaptations.start(job)
    other = stores.project("other")
    cancelled, its_attempt = running(stores, project)
    stores.adaptations.cancel(project.tenant_id, cancelled)
    for home, name, token in ((project, job, zombie), (other, job, attempt), (project, cancelled, its_attempt)):
        with pytest.raises(Conflict) as refused:
            publish(stores, home, name, token)
        assert refused.value.reason == "fenced"
    publish(stores, project, job, attempt)
    with pytest.raises(Conflict):
        publish(stores, project, job, attempt, expected=1)
    assert len(stores.registry.list(project.id).data) == 1


def test_racing_attempts_make_one_version(stores: Stores) -> None:
    project = stores.project()
    job, attempt = running(stores, project)
    outcomes: list[str] = []

    def race() -> None:
        try:
            publish(stores, project, job, attempt)
            outcomes.append("published")
        except Conflict as error:
            outcomes.append(error.reason)

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["fenced", "fenced", "fenced", "published"]
    assert len(stores.registry.list(project.id).data) == 1


def test_a_publish_into_an_erased_project_leaves_no_blob(stores: Stores) -> None:
    project = stores.project()
    job, attempt = running(stores, project)
    stores.projects.delete(project)
    with pytest.raises(Conflict):
        publish(stores, project, job, attempt)
    assert not (stores.home / "blobs" / project.id).exists()


def test_moving_compares_with_what_was_expected(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    stores.publish(project, promote_to=None)
    for name, expected in (("live", 2), ("live", None), ("canary", 1)):
        with pytest.raises(Conflict) as refused:
            stores.registry.move(project.id, name, 2, expected)
        assert refused.value.reason == "alias_moved"
    assert served(stores, project) == 1
    assert stores.registry.move(project.id, "live", 2, 1).version == 2
    assert stores.registry.move(project.id, "canary", 1, None).version == 1
    assert stores.registry.move(project.id, "canary", 2).version == 2
    assert [(alias.name, alias.version) for alias in stores.registry.aliases(project.id).data] == [
        ("canary", 2),
        ("live", 2),
    ]
    with pytest.raises(NotFound):
        stores.registry.move(project.id, "live", 3)


def test_history_tells_every_move_newest_first(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    stores.publish(project, promote_to=None)
    stores.registry.move(project.id, "live", 2, 1, "better", "key_1")
    stores.registry.move(project.id, "live", 2, 2, "already there", "key_1")
    told = [
        (move.from_version, move.to_version, move.reason) for move in stores.registry.history(project.id, "live").data
    ]
    assert told == [(1, 2, "better"), (None, 1, "first")]


def test_rollbacks_in_a_row_go_further_back(stores: Stores) -> None:
    project = stores.project()
    for expected in (None, 1, 2):
        stores.publish(project, expected=expected)

    def rolled_back() -> int:
        return stores.registry.rollback(project.id, "live", "key_1").version

    assert (rolled_back(), rolled_back()) == (2, 1)
    with pytest.raises(Conflict) as refused:
        rolled_back()
    assert refused.value.reason == "nothing_to_roll_back"
    stores.registry.move(project.id, "live", 3)
    assert rolled_back() == 1
    with pytest.raises(NotFound):
        stores.registry.rollback(project.id, "canary", "key_1")


def test_listeners_hear_of_a_move_after_it_is_durable(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    stores.publish(project, promote_to=None)
    seen: list[int | None] = []
    registry = Registry(stores.database, stores.blobs, lambda _: seen.append(served(stores, project)))
    registry.move(project.id, "live", 2)
    registry.rollback(project.id, "live", "key_1")
    assert seen == [2, 1]


def test_a_damaged_graft_is_refused_while_others_serve(stores: Stores) -> None:
    project = stores.project()
    good, bad = stores.publish(project), stores.publish(project, expected=1, fill=2)
    path = stores.home / "blobs" / project.id / bad.digest[:2] / bad.digest
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ArtifactCorrupt):
        stores.registry.graft(bad)
    assert stores.registry.graft(good).method == "head"


def test_a_graft_of_other_labels_than_its_row_is_refused(stores: Stores) -> None:
    version = stores.publish(stores.project())
    with pytest.raises(ArtifactCorrupt):
        stores.registry.graft(dataclasses.replace(version, labels=("yes", "no")))


def test_versions_of_another_project_are_not_found(stores: Stores) -> None:
    mine, theirs = stores.project(tenant="acme"), stores.project(tenant="other")
    stores.publish(theirs)
    with pytest.raises(NotFound):
        stores.registry.get(mine.id, 1)
    with pytest.raises(NotFound):
        stores.registry.move(mine.id, "live", 1)
    with pytest.raises(NotFound):
        stores.registry.snapshot("snp_none")
    assert stores.registry.aliases(mine.id).data == ()
