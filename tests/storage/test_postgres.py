"""What is promised of PostgreSQL only; everything else of storage is tested on both."""

import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import psycopg
import pytest
from psycopg import Connection as Driver
from psycopg.rows import TupleRow
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.postgres import Server
from tests.storage.making import Stores, new_version, only_postgres, sample
from tsugiki.errors import Conflict, Unavailable
from tsugiki.storage.adaptations import Adaptations
from tsugiki.storage.changes import Changes, note
from tsugiki.storage.database import Database
from tsugiki.storage.exports import Exports
from tsugiki.storage.idempotency import Fresh, Idempotency, Once
from tsugiki.storage.postgres import CHANNEL, Impatient
from tsugiki.storage.registry import Registry
from tsugiki.storage.samples import Samples
from tsugiki.storage.silence import Silence
from tsugiki.storage.tables import AdaptationRow
from tsugiki.storage.tenants import Tenants

pytestmark = only_postgres

LONG_S = 20.0  # what takes so long has hung


@pytest.mark.parametrize(
    ("setting", "value"),
    [("synchronous_commit", "on"), ("lock_timeout", "5s"), ("statement_timeout", "1min")],
)
def test_every_connection_is_durable_and_ends_what_hangs(stores: Stores, setting: str, value: str) -> None:
    show = text(f"SHOW {setting}")
    with stores.database.read() as first, stores.database.read() as second, stores.database.write() as third:
        assert {session.execute(show).scalar_one() for session in (first, second, third)} == {value}


def test_a_read_writes_nothing(stores: Stores) -> None:
    with pytest.raises(Unavailable), stores.database.read() as session:
        session.execute(text("DELETE FROM tenants"))


def test_another_process_waits_for_its_turn_no_longer_than_it_may(stores: Stores) -> None:
    impatient = stores.again(0.05)
    with stores.database.write() as session:
        session.execute(select(1))
        with pytest.raises(Unavailable), impatient.write() as late:
            late.execute(select(1))
    Tenants(impatient).create("after")
    impatient.close()


def test_a_write_sees_what_was_committed_while_it_waited(stores: Stores) -> None:
    other, seen = stores.again(), list[int]()
    began = threading.Event()

    def wait() -> None:
        began.set()
        with other.write() as session:
            seen.append(session.execute(text("SELECT count(*) FROM tenants")).scalar_one())

    waiting = threading.Thread(target=wait)
    with stores.database.write() as session:
        session.execute(select(1))
        waiting.start()
        assert began.wait(LONG_S)
        while not session.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one():
            assert waiting.is_alive()
        session.execute(text("INSERT INTO tenants VALUES ('ten_1', 'acme', false, '{}', '2026-01-01')"))
    waiting.join()
    assert seen == [1]
    other.close()


def test_owners_write_beside_each_other_and_after_whoever_names_none(stores: Stores) -> None:
    impatient = stores.again(0.05)

    def may(of: str | None) -> bool:
        try:
            with impatient.write(of) as session:
                session.execute(select(1))
        except Unavailable:
            return False
        return True

    for holding, allowed in (("one", ["other"]), (None, [])):
        with stores.database.write(holding) as session:
            session.execute(select(1))
            assert [of for of in ("one", "other", None) if may(of)] == allowed
    assert may("one") and may(None)
    impatient.close()


def test_one_project_s_jobs_versions_aliases_and_exports_wait_for_no_other_s(stores: Stores) -> None:
    one, other = stores.project("one"), stores.project("other")
    stores.publish(other)
    stores.publish(other, expected=1)
    impatient = stores.again(0.05, shared=True)
    adaptations, registry = Adaptations(impatient), Registry(impatient, stores.blobs)
    exports = Exports(impatient, stores.blobs)
    begun = [adaptations.create(other.id, {}) for _ in range(2)]
    new = new_version(other, stores.database.ids.new("snp"))
    attempt = adaptations.start(begun[0].id)
    acts: dict[str, Callable[[], object]] = {
        "create": lambda: adaptations.create(other.id, {}, for_trainer=True),
        "start": lambda: adaptations.start(begun[1].id),
        "publish": lambda: registry.publish(other.id, new, begun[0].id, attempt, "live", 2, {}, {}, "me"),
        "move": lambda: registry.move(other.id, "live", 1),
        "rollback": lambda: registry.rollback(other.id, "live", "me"),
        "export": lambda: exports.begin(other.id, 1, "fp32"),
        "cancel": lambda: adaptations.cancel(other.tenant_id, begun[1].id),
    }
    with stores.database.write(of=one.id) as session:
        session.execute(select(1))
        assert {name: _may(act) for name, act in acts.items()} == dict.fromkeys(acts, True)
    with stores.database.write() as session:
        session.execute(select(1))
        assert {name: _may(act) for name, act in acts.items()} == dict.fromkeys(acts, False)
    with stores.database.write(of=other.id) as session:
        session.execute(select(1))
        own = ("create", "publish", "move", "rollback", "export")
        assert [name for name in own if _may(acts[name])] == []
    impatient.close()


def test_a_key_s_jobs_are_one_whatever_project_they_are_of(stores: Stores) -> None:
    one, other = stores.project("one"), stores.project("other")
    impatient = stores.again(0.05)
    with stores.database.write(of="key") as session:
        session.execute(select(1))
        for project, allowed in ((one, False), (other, False)):
            made = partial(Adaptations(impatient).create, project.id, {}, Once("key", "print"))
            assert _may(made) == allowed
        assert _may(partial(Adaptations(impatient).create, other.id, {}, Once("another", "print")))
    impatient.close()


@pytest.mark.parametrize("broken", [False, True])
def test_an_adaptation_that_is_being_published_is_not_cancelled(
    broken: bool, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishing is its project's, cancelling its own: only the lock on its row keeps them apart."""
    if broken:

        def unlocked(session: Session, project_id: str, adaptation_id: str, attempt: int) -> AdaptationRow:
            row = session.get(AdaptationRow, adaptation_id)
            assert row is not None
            return row

        monkeypatch.setattr("tsugiki.storage.registry._fence", unlocked)
    project, impatient = stores.project(), stores.again(0.05)
    job = stores.adaptations.create(project.id, {})
    attempt, meanwhile = stores.adaptations.start(job.id), list[bool]()

    class Asked(dict[str, object]):
        """A gate's words, asked for in mid-transaction."""

        def get(self, key: str, default: object = None) -> object:
            meanwhile.append(_may(lambda: Adaptations(impatient).cancel(project.tenant_id, job.id)))
            meanwhile.append(_may(lambda: Adaptations(impatient).add_event(job.id, "message", {})))
            return default

    new = new_version(project, stores.database.ids.new("snp"))
    stores.registry.publish(project.id, new, job.id, attempt, "live", None, Asked(), {}, "me")
    assert meanwhile == [broken, broken]
    impatient.close()


@pytest.mark.parametrize("broken", [False, True])
def test_changes_are_committed_in_the_order_of_their_numbers(
    broken: bool, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who looks at numbers in order would miss one that is committed late."""
    if broken:
        monkeypatch.setattr("tsugiki.storage.postgres.TELL", f"SELECT pg_notify('{CHANNEL}', '')")
    one, other = stores.again(shared=True), stores.again(0.05, shared=True)

    def tell() -> None:
        with other.write(of="other") as session:
            note(other, session, "other")

    with one.write(of="one") as session:
        note(one, session, "one")
        assert _may(tell) == broken
        seen = Changes(one).last()
    assert (list(Changes(one).since(seen)) == []) == broken, "a lost one"
    one.close()
    other.close()


@pytest.mark.parametrize("broken", [False, True])
def test_versions_of_one_project_by_several_processes_are_numbered_without_a_gap(
    broken: bool, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    if broken:
        numbers = count(1 << 31)

        def another_each_time(owner: bytes) -> int:
            return next(numbers)

        monkeypatch.setattr("tsugiki.storage.postgres.crc32", another_each_time)
    project = stores.project()
    databases, wrong = [stores.again() for _ in range(3)], list[str]()
    together = threading.Barrier(len(databases))

    def publish(database: Database) -> None:
        adaptations, registry = Adaptations(database), Registry(database, stores.blobs)
        for _ in range(10):
            job = adaptations.create(project.id, {})
            attempt, new = adaptations.start(job.id), new_version(project, database.ids.new("snp"))
            together.wait()
            try:
                registry.publish(project.id, new, job.id, attempt, None, None, {}, {}, "me")
            except IntegrityError as error:
                wrong.append(type(error).__name__)

    threads = [threading.Thread(target=publish, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.close()
    given = [version.number for version in stores.registry.list(project.id).data]
    assert ((wrong, given) == ([], list(range(1, 31)))) != broken


@pytest.mark.parametrize("broken", [False, True])
def test_writes_of_one_owner_by_several_processes_see_each_other(
    broken: bool, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events are numbered by the highest there is, equal samples are one, and a key is fresh once."""
    if broken:
        numbers = count(1 << 31)

        def another_each_time(owner: bytes) -> int:
            return next(numbers)

        monkeypatch.setattr("tsugiki.storage.postgres.crc32", another_each_time)
    project = stores.project()
    job = stores.adaptations.create(project.id, {})
    databases, wrong = [stores.again() for _ in range(3)], list[str]()
    together = threading.Barrier(len(databases))

    def write(database: Database) -> None:
        adaptations, samples = Adaptations(database), Samples(database, stores.blobs)
        for number in range(20):
            together.wait()
            try:
                adaptations.add_event(job.id, "message", {})
                samples.add(project.id, [sample(f"words {number}")])
                begun.append(type(Idempotency(database).begin(project.tenant_id, f"key {number}", "print")))
            except Conflict:  # told to all but the first
                pass
            except IntegrityError as error:
                wrong.append(type(error).__name__)

    begun = list[type]()
    threads = [threading.Thread(target=write, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.close()
    seqs = [event.seq for event in stores.adaptations.events(job.id)]
    kept = len(stores.samples.list(project.id).data)
    whole = (wrong, begun, seqs, kept) == ([], [Fresh] * 20, list(range(1, 61)), 20)
    assert whole != broken


def test_a_connection_that_was_ended_is_replaced(stores: Stores) -> None:
    stores.tenants.create("before")
    assert isinstance(stores.place, str)
    with psycopg.connect(stores.place, autocommit=True) as connection:
        others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        connection.execute(f"{others} WHERE datname = current_database() AND pid <> pg_backend_pid()")
    assert stores.tenants.count() == 1
    with pytest.raises(Unavailable), stores.database.write() as session:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert stores.tenants.count() == 1


def test_a_server_that_is_restarted_is_unavailable_until_it_is_back(stores: Stores, postgres: Server) -> None:
    stores.tenants.create("kept")
    postgres.kill()
    for refused in (stores.tenants.count, lambda: stores.tenants.create("lost")):
        began = time.monotonic()
        with pytest.raises(Unavailable):
            refused()
        assert time.monotonic() - began < LONG_S
    postgres.start()
    assert stores.tenants.count() == 1


def test_a_server_that_says_nothing_is_not_waited_for(
    stores: Stores, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsugiki.storage.postgres.ANSWER_S", 0.2)
    monkeypatch.setattr("tsugiki.storage.postgres.CONNECT_TIMEOUT_S", 2)  # the driver's least
    unconnected = stores.again()
    stores.tenants.create("before")
    began = time.monotonic()
    with pytest.raises(Unavailable), stores.database.read() as session:
        session.execute(select(1))
        with postgres.silent():
            with pytest.raises(Unavailable):
                Tenants(unconnected).count()
            session.execute(select(1))
    assert time.monotonic() - began < LONG_S
    assert stores.tenants.count() == Tenants(unconnected).count() == 1
    unconnected.close()


@pytest.mark.parametrize("broken", [False, True])
def test_once_one_has_found_that_a_server_says_nothing_all_are_told_so(
    broken: bool, stores: Stores, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits in mid-transaction ends, and nobody after it asks the server again until it was heard."""
    monkeypatch.setattr("tsugiki.storage.postgres.CONNECT_TIMEOUT_S", 2)  # the driver's least
    monkeypatch.setattr("tsugiki.storage.postgres.STATEMENT_TIMEOUT_S", 0)
    monkeypatch.setattr("tsugiki.storage.postgres.ANSWER_S", 5.0)  # long after it should be known
    monkeypatch.setattr("tsugiki.storage.postgres.PING_S", 0.2)
    if broken:
        monkeypatch.setattr(Silence, "_told_nothing", _never)
    database, asked = stores.again(), list[str]()
    connect = Impatient.connect

    def counted(*given: str, **named: Any) -> Driver[TupleRow]:  # Any: what a driver takes
        asked.append(threading.current_thread().name)
        return connect(*given, **named)

    monkeypatch.setattr(Impatient, "connect", counted)
    with pytest.raises(Unavailable) as refused, database.write() as session:
        session.execute(select(1))
        with postgres.silent():
            try:
                session.execute(select(1))
            finally:
                asked.clear()
                for _ in range(1 if broken else 9):
                    with pytest.raises(Unavailable):
                        Tenants(database).count()
    told = "says nothing" in str(refused.value.__cause__)
    assert (told, "MainThread" not in asked) == (not broken, not broken)
    began = time.monotonic()
    while not _counted(database):
        assert time.monotonic() - began < LONG_S, "it heals by itself"
    database.close()


def test_a_statement_that_takes_long_is_no_silence(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsugiki.storage.silence.SUSPECT_S", 0.0)
    asked = list[float]()
    suspect = Silence.suspect

    def noted(silence: Silence) -> None:
        asked.append(time.monotonic())
        suspect(silence)

    monkeypatch.setattr(Silence, "suspect", noted)
    database = stores.again()
    with database.write() as session:
        session.execute(text("SELECT pg_sleep(1)"))
        assert asked
        assert session.execute(text("SELECT count(*) FROM tenants")).scalar_one() == 0
    database.close()


def _may(act: Callable[[], object]) -> bool:
    """Whether it is done, and not refused for another write."""
    try:
        act()
    except Unavailable:
        return False
    return True


def _never(silence: Silence, since: float) -> bool:
    return False


def _counted(database: Database) -> bool:
    try:
        Tenants(database).count()
    except Unavailable:
        return False
    return True


def test_a_commit_is_heard_of_at_once_and_without_notifications_in_time(stores: Stores) -> None:
    other, project = stores.again(), stores.project()
    with stores.database.commits() as commits:
        before, began = commits(), time.monotonic()
        with other.read() as session:
            session.execute(select(1))
        Adaptations(other).create(project.id, {}, for_trainer=True)
        while commits() == before:
            assert time.monotonic() - began < LONG_S
        with psycopg.connect(str(stores.place)) as connection:  # of a pooler that passes no notifications on, say
            connection.execute("DELETE FROM tenants")
        before, began = commits(), time.monotonic()
        while commits() == before:
            assert time.monotonic() - began < LONG_S
    other.close()
