"""What a tenant may have is asked where it is stored: as many as fit, however many are at it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, event

from tests.storage.making import Stores, file_sample, sample
from tsugiki.errors import TooLarge
from tsugiki.storage.exports import Exports
from tsugiki.storage.projects import Projects
from tsugiki.storage.quotas import require_room
from tsugiki.storage.samples import Samples


def test_of_many_at_once_as_many_are_stored_as_fit(stores: Stores) -> None:
    projects = [stores.project(f"p{number}") for number in range(4)]
    tenant_id = projects[0].tenant_id
    stores.tenants.set_quota(tenant_id, {"samples": 10, "projects": 6})
    other = stores.again(30.0, shared=True)
    samples = (stores.samples, Samples(other, stores.blobs))

    def add(turn: int) -> str:
        try:
            samples[turn % 2].add(projects[turn % 4].id, [sample(f"text {turn}", "x")])
        except TooLarge as error:
            return error.reason
        return "stored"

    def make(turn: int) -> str:
        try:
            Projects(other, stores.blobs).create(tenant_id, f"new{turn}", "text", "single_label", "tiny")
        except TooLarge as error:
            return error.reason
        return "stored"

    with ThreadPoolExecutor(8) as pool:
        told = [sorted(pool.map(act, range(24))) for act in (add, make)]
    assert told == [["quota_exceeded"] * (24 - fit) + ["stored"] * fit for fit in (10, 2)]
    usage = stores.tenants.usage(tenant_id)
    assert (usage["samples"], usage["projects"]) == (10, 6)
    other.close()


def test_files_count_by_their_bytes_and_none_is_left_where_there_is_no_room(stores: Stores) -> None:
    project = stores.project(modality="image")
    stores.tenants.set_quota(project.tenant_id, {"bytes": 5})
    stores.samples.add(project.id, [file_sample(b"123", "x")])
    refused, fits = file_sample(b"456", "x"), file_sample(b"78", "x")
    for store in (stores.samples.add, stores.samples.preview):
        with pytest.raises(TooLarge) as told:
            store(project.id, [refused])
        assert told.value.reason == "quota_exceeded"
    assert not stores.blobs.has(project.id, refused.content)
    stores.samples.add(project.id, [fits])
    assert stores.tenants.usage(project.tenant_id)["bytes"] == 5
    stores.samples.add(project.id, [file_sample(b"123", "x")])  # what is there takes nothing
    with pytest.raises(TooLarge):
        stores.tenants.require_room(project.tenant_id)  # a version has some bytes


def test_a_version_and_an_export_that_do_not_fit_are_not_stored(stores: Stores) -> None:
    project = stores.project()
    first = stores.publish(project)
    has = stores.tenants.usage(project.tenant_id)["bytes"]
    exports = Exports(stores.database, stores.blobs)
    queued = [exports.create(project.id, 1, "fp32") for _ in range(2)]  # both while there is room
    stores.tenants.set_quota(project.tenant_id, {"bytes": has + 10})
    with pytest.raises(TooLarge) as refused:
        stores.publish(project, expected=1, fill=2)
    assert refused.value.reason == "quota_exceeded"
    assert stores.registry.list(project.id).data == (first,)
    done = exports.finish(queued[0].id, 8, "0" * 64, {}, {})
    with pytest.raises(TooLarge):
        exports.finish(queued[1].id, 8, "1" * 64, {}, {})
    assert exports.finish(queued[1].id, 8, "0" * 64, {}, {}).status == done.status, "the same file is there already"
    assert stores.tenants.usage(project.tenant_id)["bytes"] == has + 8


def test_only_what_is_bounded_is_counted(stores: Stores) -> None:
    project = stores.project()
    stores.tenants.set_quota(project.tenant_id, {"projects": 5})
    asked: list[str] = []

    @event.listens_for(Engine, "before_cursor_execute")
    def hear(connection: object, cursor: object, statement: str, *given: object) -> None:
        asked.append(statement)

    try:
        for quota in ({"projects": 5}, {"samples": 5}):
            stores.tenants.set_quota(project.tenant_id, quota)
            asked.clear()
            with stores.database.read() as session:
                require_room(session, project.tenant_id, samples=[sample("a")])
            counted = [statement for statement in asked if "count(" in statement.lower()]
            assert len(counted) == ("samples" in quota)
            assert not any("sum(" in statement.lower() for statement in asked)
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
