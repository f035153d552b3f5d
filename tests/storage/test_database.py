import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from tests.storage.making import Stores, only_sqlite, own, sample
from tsugiki.errors import Invalid, StorageFull, Unavailable
from tsugiki.storage import FILE_NAME
from tsugiki.storage.database import Database
from tsugiki.storage.tables import Base, EventRow, TenantRow
from tsugiki.storage.tenants import Tenants


@only_sqlite
@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1), ("busy_timeout", 5000)],
)
def test_every_connection_to_sqlite_is_durable_and_strict(stores: Stores, pragma: str, value: object) -> None:
    with stores.database.read() as first, stores.database.read() as second:
        assert [session.execute(text(f"PRAGMA {pragma}")).scalar_one() for session in (first, second)] == [value, value]


def test_migrations_make_the_tables_the_models_describe(stores: Stores) -> None:
    with stores.database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


@own
def test_a_model_without_migration_is_noticed(stores: Stores) -> None:
    with stores.database.write() as session:
        session.execute(text("ALTER TABLE samples DROP COLUMN source"))
    with stores.database.read() as session:
        context = MigrationContext.configure(session.connection())
        assert compare_metadata(context, Base.metadata) != []


def test_migrating_twice_changes_nothing(stores: Stores) -> None:
    before = stores.database.revision()
    stores.database.migrate()
    assert stores.database.revision() == before is not None


@own
def test_a_database_of_a_newer_release_is_refused_naming_both_revisions(stores: Stores) -> None:
    with stores.database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match=r"9999.*0010") as refused:
        stores.database.migrate()
    assert refused.value.reason == "database_too_new"


def test_a_write_that_raises_leaves_nothing(stores: Stores) -> None:
    with pytest.raises(ZeroDivisionError), stores.database.write() as session:
        session.add(TenantRow(id="ten_1", name="a", operator=False, quota={}, created_at=stores.clock()))
        session.flush()
        raise ZeroDivisionError
    assert stores.tenants.count() == 0


def test_a_read_sees_one_state_while_others_write(stores: Stores) -> None:
    count = select(func.count()).select_from(TenantRow)
    with stores.database.read() as session:
        assert session.execute(count).scalar_one() == 0
        stores.tenants.create("late")
        assert session.execute(count).scalar_one() == 0
    assert stores.tenants.count() == 1


def test_a_row_without_its_owner_is_refused(stores: Stores) -> None:
    with pytest.raises(IntegrityError), stores.database.write() as session:
        session.add(EventRow(adaptation_id="adp_none", seq=1, at=stores.clock(), type="phase", data={}))


def test_two_threads_writing_lose_nothing(stores: Stores) -> None:
    project = stores.project()

    def write(thread: int) -> None:
        for row in range(20):
            stores.samples.add(project.id, [sample(f"{thread} {row}", "a")])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores.samples.counts(project.id) == {"a": 40}


@only_sqlite
def test_a_database_held_by_another_process_is_unavailable_and_heals(stores: Stores) -> None:
    impatient = stores.again(0.05)
    other = sqlite3.connect(stores.home / FILE_NAME, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable), impatient.write() as session:
            session.execute(select(1))
        Tenants(impatient).count()  # readers go on
        other.execute("ROLLBACK")
        with impatient.write() as session:
            session.execute(select(1))
    finally:
        other.close()
        impatient.close()


def test_a_writer_waits_for_its_turn_no_longer_than_it_may(stores: Stores) -> None:
    impatient = stores.again(0.05)
    with impatient.write(), pytest.raises(Unavailable), impatient.write():
        pass
    impatient.close()


@only_sqlite
def test_a_full_database_says_so_and_heals(stores: Stores) -> None:
    project = stores.project()
    stores.samples.add(project.id, [sample("kept", "a")])
    with stores.database.read() as session:
        pages = session.execute(text("PRAGMA page_count")).scalar_one()
    with stores.database.write() as session:
        session.execute(text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(StorageFull):
        stores.samples.add(project.id, [sample(f"{row} " + "x" * 5000, "a") for row in range(100)])
    assert stores.samples.counts(project.id) == {"a": 1}
    with stores.database.write() as session:
        session.execute(text("PRAGMA max_page_count = 1000000"))
    stores.samples.add(project.id, [sample("y" * 50_000, "a")])
    assert stores.samples.counts(project.id) == {"a": 2}


def test_a_damaged_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database at all" * 1000)
    database = Database(tmp_path)
    with pytest.raises(Unavailable):
        Tenants(database).count()
    with pytest.raises(Unavailable):
        database.empty_log()
    database.close()


@only_sqlite
def test_a_log_that_is_read_is_emptied_later(stores: Stores) -> None:
    impatient = stores.again(0.05)
    stores.tenants.create("before")
    with stores.database.read() as session:
        session.execute(select(1)).scalar_one()
        session.execute(select(TenantRow.id)).all()
        stores.tenants.create("after")
        assert not impatient.empty_log()
    assert impatient.empty_log()
    assert (stores.home / f"{FILE_NAME}-wal").stat().st_size == 0
    impatient.close()


@only_sqlite
def test_a_log_that_is_read_keeps_writers_out_no_longer_than_a_writer_waits(stores: Stores) -> None:
    stores.tenants.create("before")
    with stores.database.read() as session, ThreadPoolExecutor(1) as pool:
        session.execute(select(TenantRow.id)).all()
        stores.tenants.create("after")
        emptied = pool.submit(stores.database.empty_log)
        for number in range(20):  # some of them while the log is being waited for
            stores.tenants.create(f"meanwhile {number}")
        assert not emptied.result()
    assert stores.database.empty_log()


def test_an_error_tells_no_values(stores: Stores) -> None:
    with pytest.raises(IntegrityError) as refused, stores.database.write() as session:
        session.add(
            EventRow(adaptation_id="adp_none", seq=1, at=stores.clock(), type="canary", data={"text": "canary"})
        )
    assert "events" in str(refused.value)
    assert "canary" not in str(refused.value)


def test_a_text_with_nul_is_refused_by_every_database(stores: Stores) -> None:
    for refused in (lambda: stores.tenants.create("a\0b"), lambda: stores.project("a\0b")):
        with pytest.raises(Invalid) as told:
            refused()
        assert told.value.reason == "nul_character"
    project = stores.project()
    stores.samples.add(project.id, [replace(sample("a", "b"), metadata={"key": "a\0b"})])
    assert stores.samples.list(project.id).data[0].metadata == {"key": "a\0b"}
