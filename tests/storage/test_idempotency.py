import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import NoReturn

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tests.storage.making import Stores, only_sqlite
from tsugiki.domain import Project
from tsugiki.errors import Conflict, Invalid, Unavailable
from tsugiki.storage.idempotency import KEPT, Fresh, Idempotency, Once, Replay, already
from tsugiki.storage.tables import IdempotencyRow, TenantRow


@pytest.fixture
def tenant(stores: Stores) -> str:
    return stores.tenants.create("acme").id


@pytest.fixture
def idempotency(stores: Stores) -> Idempotency:
    return Idempotency(stores.database)


def test_a_finished_request_is_answered_again_byte_for_byte(tenant: str, idempotency: Idempotency) -> None:
    assert idempotency.begin(tenant, "key", "print") == Fresh()
    idempotency.finish(tenant, "key", 201, "application/json", b'{"a":\xff}')
    for _ in range(2):
        assert idempotency.begin(tenant, "key", "print") == Replay(201, "application/json", b'{"a":\xff}')


def test_a_key_is_for_one_request(tenant: str, idempotency: Idempotency) -> None:
    idempotency.begin(tenant, "key", "print")
    with pytest.raises(Invalid) as refused:
        idempotency.begin(tenant, "key", "other")
    assert refused.value.reason == "idempotency_key_reused"


def test_a_running_request_is_not_run_twice(tenant: str, idempotency: Idempotency) -> None:
    outcomes: list[str] = []

    def race() -> None:
        try:
            idempotency.begin(tenant, "key", "print")
            outcomes.append("fresh")
        except Conflict as error:
            outcomes.append(error.reason)

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["fresh"] + ["idempotency_in_progress"] * 3


def test_keys_of_two_tenants_do_not_meet(stores: Stores, tenant: str, idempotency: Idempotency) -> None:
    other = stores.tenants.create("other").id
    idempotency.begin(tenant, "key", "print")
    idempotency.finish(tenant, "key", 200, "text/plain", b"mine")
    assert idempotency.begin(other, "key", "different") == Fresh()


def test_an_abandoned_key_is_as_good_as_new_but_a_finished_one_stays(tenant: str, idempotency: Idempotency) -> None:
    idempotency.begin(tenant, "key", "print")
    idempotency.abandon(tenant, "key")
    assert idempotency.begin(tenant, "key", "other") == Fresh()
    idempotency.finish(tenant, "key", 200, "text/plain", b"done")
    idempotency.abandon(tenant, "key")
    assert isinstance(idempotency.begin(tenant, "key", "other"), Replay)


def test_what_ran_when_the_process_died_may_run_again(tenant: str, idempotency: Idempotency) -> None:
    idempotency.begin(tenant, "running", "print")
    idempotency.begin(tenant, "done", "print")
    idempotency.finish(tenant, "done", 200, "text/plain", b"done")
    assert idempotency.reset({1}) == 1
    assert idempotency.begin(tenant, "running", "print") == Fresh()
    assert isinstance(idempotency.begin(tenant, "done", "print"), Replay)


MAKERS: dict[str, Callable[[Stores, Project, Once | None], object]] = {
    "project": lambda stores, project, once: stores.projects.create(
        project.tenant_id, "new", "text", "single_label", "tiny", once=once
    ),
    "tenant": lambda stores, project, once: stores.tenants.create("new", once=once),
    "adaptation": lambda stores, project, once: stores.adaptations.create(project.id, {"a": 1}, once),
    "rollback": lambda stores, project, once: stores.registry.rollback(project.id, "live", "key_1", once),
}


def furnished(stores: Stores) -> Project:
    """With two versions to roll back from."""
    project = stores.project()
    for expected in (None, 1, 2):
        stores.publish(project, expected=expected)
    return project


@pytest.mark.parametrize("ended", ["killed", "failed"])
@pytest.mark.parametrize("kind", MAKERS)
def test_what_was_made_and_not_answered_is_found_by_a_repeat_and_made_once(
    stores: Stores, idempotency: Idempotency, kind: str, ended: str
) -> None:
    project, make = furnished(stores), MAKERS[kind]
    once, other = Once(project.tenant_id, "key"), Once(project.tenant_id, "other")
    for one in (once, other):
        idempotency.begin(one.tenant_id, one.key, "print")
    made = make(stores, project, once)
    if ended == "killed":
        assert idempotency.reset({1}) == 2
    else:
        for one in (once, other):
            idempotency.abandon(one.tenant_id, one.key)
    stores.adaptations.create(project.id, {})  # what comes between changes nothing
    with pytest.raises(Invalid):
        idempotency.begin(once.tenant_id, once.key, "another")
    assert idempotency.begin(once.tenant_id, once.key, "print") == Fresh()
    with pytest.raises(Conflict, match="still running"):
        idempotency.begin(once.tenant_id, once.key, "print")
    assert make(stores, project, once) == made
    idempotency.finish(once.tenant_id, once.key, 200, "text/plain", b"told")
    assert isinstance(idempotency.begin(once.tenant_id, once.key, "print"), Replay)
    assert idempotency.begin(other.tenant_id, other.key, "for another") == Fresh(), "under it nothing was made"
    if kind in ("adaptation", "rollback"):
        assert make(stores, project, other) != made, "the control: another request makes another"
    else:
        with pytest.raises(Conflict, match="already"):
            make(stores, project, other)


def test_a_key_is_made_once_and_its_secret_told_never_again(stores: Stores, idempotency: Idempotency) -> None:
    tenant = stores.tenants.create("acme")
    once = Once(tenant.id, "key")
    idempotency.begin(tenant.id, "key", "print")
    issued = stores.tenants.issue_key(tenant.id, "k", ["adapt"], once=once)
    idempotency.reset({1})
    idempotency.begin(tenant.id, "key", "print")
    with pytest.raises(Conflict) as told:
        stores.tenants.issue_key(tenant.id, "k", ["adapt"], once=once)
    assert (told.value.reason, stores.tenants.keys(tenant.id).data) == ("reply_not_kept", (issued.key,))


@pytest.mark.parametrize("erased", [False, True])
def test_what_was_made_is_forgotten_after_a_day_and_with_its_project(
    stores: Stores, idempotency: Idempotency, erased: bool
) -> None:
    once = Once(stores.tenants.create("acme").id, "key")
    idempotency.begin(once.tenant_id, once.key, "print")
    made = stores.projects.create(once.tenant_id, "new", "text", "single_label", "tiny", once=once)
    idempotency.reset({1})
    if erased:
        stores.projects.delete(made)
    else:
        stores.clock.advance(KEPT)
    assert idempotency.begin(once.tenant_id, once.key, "for another") == Fresh()
    with stores.database.read() as session:
        assert already(session, once) is None


@pytest.fixture
def impatient(stores: Stores) -> Iterator[Idempotency]:
    """Of a process that cannot write while another one does."""
    database = stores.again(0.05)
    yield Idempotency(database)
    database.close()


@only_sqlite
@pytest.mark.parametrize("swept", [False, True])
def test_how_a_request_ended_while_the_database_was_away_is_written_later(
    stores: Stores, tenant: str, impatient: Idempotency, swept: bool
) -> None:
    for key in ("done", "not done"):
        impatient.begin(tenant, key, "print")
    with stores.database.write() as session:
        session.execute(update(TenantRow).values(name="held"))
        with pytest.raises(Unavailable):
            impatient.finish(tenant, "done", 201, "text/plain", b"told")
        with pytest.raises(Unavailable):
            impatient.abandon(tenant, "not done")
    found = impatient
    if swept:
        assert impatient.sweep() == 0
        found = Idempotency(stores.database, owner=2)
    else:
        with pytest.raises(Conflict):
            Idempotency(stores.database, owner=2).begin(tenant, "done", "print")  # the control: it was not written
    assert found.begin(tenant, "done", "print") == Replay(201, "text/plain", b"told")
    assert found.begin(tenant, "not done", "another") == Fresh()


def test_what_is_still_to_be_written_of_one_attempt_is_not_taken_for_the_next(
    stores: Stores, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep has read that the attempt was abandoned, and comes to write it only once another one runs."""
    reached, let = threading.Event(), threading.Event()
    idempotency = Idempotency(stores.database)
    idempotency.begin(tenant, "key", "print")
    write = stores.database.write

    def away(of: str | None = None) -> NoReturn:
        raise Unavailable("away")

    monkeypatch.setattr(stores.database, "write", away)
    with pytest.raises(Unavailable):
        idempotency.abandon(tenant, "key")

    def late(of: str | None = None) -> AbstractContextManager[Session]:
        if threading.current_thread().name.startswith("sweep"):
            reached.set()
            assert let.wait(30)
        return write(of)

    monkeypatch.setattr(stores.database, "write", late)
    with ThreadPoolExecutor(1, thread_name_prefix="sweep") as sweeping, ThreadPoolExecutor(1) as asking:
        swept = sweeping.submit(idempotency.sweep)
        assert reached.wait(30)
        begun = asking.submit(idempotency.begin, tenant, "key", "print")
        with pytest.raises(TimeoutError):
            begun.result(0.3)
        let.set()
        assert begun.result(30) == Fresh()
        swept.result(30)
    with pytest.raises(Conflict, match="still running"):
        idempotency.begin(tenant, "key", "print")


def test_a_reply_of_many_rows_that_are_alike_takes_no_more_than_they_did(
    stores: Stores, tenant: str, idempotency: Idempotency
) -> None:
    body = b'{"index":1,"status":"rejected","issues":[{"code":"input_missing"}]},' * 10_000
    idempotency.begin(tenant, "key", "print")
    idempotency.finish(tenant, "key", 200, "application/json", body)
    assert idempotency.begin(tenant, "key", "print") == Replay(200, "application/json", body)
    with stores.database.read() as session:
        assert len(session.scalars(select(IdempotencyRow.body)).one() or b"") < len(body) // 50


def test_a_reply_is_kept_for_24_hours(stores: Stores, tenant: str, idempotency: Idempotency) -> None:
    for key in ("swept", "kept"):
        idempotency.begin(tenant, key, "print")
        idempotency.finish(tenant, key, 200, "text/plain", b"done")
        stores.clock.advance(timedelta(hours=12))
    assert idempotency.sweep() == 1
    assert idempotency.begin(tenant, "swept", "other") == Fresh()
    assert isinstance(idempotency.begin(tenant, "kept", "print"), Replay)
    stores.clock.advance(timedelta(hours=12))
    assert idempotency.begin(tenant, "kept", "other") == Fresh()


def test_a_reply_for_an_erased_project_is_not_kept(stores: Stores, idempotency: Idempotency) -> None:
    project = stores.project(tenant="other")
    for erased_first, key in ((False, "before"), (True, "after")):
        idempotency.begin(project.tenant_id, key, "print")
        if erased_first:
            stores.projects.delete(project)
        idempotency.finish(project.tenant_id, key, 200, "text/plain", b"words", project.id)
    for key in ("before", "after"):
        assert idempotency.begin(project.tenant_id, key, "print") == Fresh()
