"""What is promised of PostgreSQL only; everything else of storage is tested on both."""

import threading
import time

import psycopg
import pytest
from sqlalchemy import select, text

from tests.postgres import Server
from tests.storage.making import Stores, only_postgres
from tsugiki.errors import Unavailable
from tsugiki.storage.adaptations import Adaptations
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
