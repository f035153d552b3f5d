"""What is promised of PostgreSQL only; everything else of storage is tested on both."""

import threading
import time
from itertools import count
from typing import Any

import psycopg
import pytest
from psycopg import Connection as Driver
from psycopg.rows import TupleRow
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from tests.postgres import Server
from tests.storage.making import Stores, only_postgres, sample
from tsugiki.errors import Conflict, Unavailable
from tsugiki.storage.adaptations import Adaptations
from tsugiki.storage.changes import note
from tsugiki.storage.database import Database
from tsugiki.storage.idempotency import Fresh, Idempotency
from tsugiki.storage.postgres import Impatient
from tsugiki.storage.samples import Samples
from tsugiki.storage.silence import Silence
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


def test_what_others_have_to_be_told_in_order_is_not_written_beside_others(stores: Stores) -> None:
    with pytest.raises(AssertionError, match="bug"), stores.database.write("proj_1") as session:
        note(stores.database, session, "proj_1")


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


def _never(silence: Silence, since: float) -> bool:
    return False


def _counted(database: Database) -> bool:
    try:
        Tenants(database).count()
    except Unavailable:
        return False
    return True


def test_a_commit_is_heard_of_at_once_and_without_notifications_in_time(stores: Stores) -> None:
    other = stores.again()
    with stores.database.commits() as commits:
        before, began = commits(), time.monotonic()
        with other.read() as session:
            session.execute(select(1))
        Tenants(other).create("heard")
        while commits() == before:
            assert time.monotonic() - began < LONG_S
        with psycopg.connect(str(stores.place)) as connection:  # of a pooler that passes no notifications on, say
            connection.execute("DELETE FROM tenants")
        before, began = commits(), time.monotonic()
        while commits() == before:
            assert time.monotonic() - began < LONG_S
    other.close()
