"""A server that says nothing: found out once for all, and in time also in mid-transaction."""

import threading
import time
from typing import Any

import pytest
from psycopg import Connection as Driver
from psycopg.rows import TupleRow
from sqlalchemy import select, text

from tests.postgres import Server
from tests.storage.making import Stores, only_postgres
from tsugiki.errors import Unavailable
from tsugiki.storage.database import Database
from tsugiki.storage.postgres import Impatient
from tsugiki.storage.silence import Silence
from tsugiki.storage.tenants import Tenants

pytestmark = only_postgres

LONG_S = 20.0  # what takes so long has hung


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
    for database in (stores.database, unconnected):
        while not _counted(database):
            assert time.monotonic() - began < LONG_S, "it heals by itself"
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
