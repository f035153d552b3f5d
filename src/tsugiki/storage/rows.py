"""All rows as they are at one moment, as an SQLite file, wherever they are kept; and from such a file to anywhere."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from tsugiki.errors import ArtifactCorrupt, Conflict, Unavailable
from tsugiki.storage import FILE_NAME
from tsugiki.storage.database import Database
from tsugiki.storage.local_files import sync
from tsugiki.storage.tables import Base, TenantRow

AT_ONCE = 200  # rows in memory: a text of the longest, or a vector, are some kilobytes


def save_rows(place: Path | str, folder: Path) -> None:
    """Those at `place` into FILE_NAME of `folder`, whoever writes meanwhile. Raises Unavailable, ArtifactCorrupt."""
    for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"):
        (folder / name).unlink(missing_ok=True)
    if isinstance(place, Path):
        _copy_file(place / FILE_NAME, folder / FILE_NAME)
    else:
        with closing(Database(folder)) as copy, closing(Database(place)) as live:
            copy.migrate()
            _refuse_other(live, copy)
            with live.read() as source, copy.write() as target:
                _copy(source, target)
    (folder / FILE_NAME).chmod(0o600)


def restore_rows(folder: Path, home: Path, place: Path | str) -> None:
    """From FILE_NAME of `folder`, also one of an older release: all or none. Raises Conflict where there are some."""
    if isinstance(place, Path):
        part = place / f"{FILE_NAME}.part"
        shutil.copyfile(folder / FILE_NAME, part)
        part.chmod(0o600)
        sync(part)
        part.replace(place / FILE_NAME)
        sync(place)
        return
    with _fresh(home / "restoring") as made:  # what is restored from is not to be changed
        shutil.copyfile(folder / FILE_NAME, made / FILE_NAME)
        with closing(Database(made)) as copy, closing(Database(place)) as live:
            copy.migrate()
            live.migrate()
            with copy.read() as source, live.write() as target:
                if target.scalar(select(func.count()).select_from(TenantRow)):
                    raise Conflict("Somebody has begun to use the database.", fix="Stop all services; begin again.")
                _copy(source, target)
                _count_on(target)


@contextmanager
def _fresh(folder: Path) -> Generator[Path]:
    """An empty folder, also where one was left by a process that was killed; gone when the block ends."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def has_rows(place: Path | str) -> bool:
    """Raises Unavailable."""
    if isinstance(place, Path):
        return (place / FILE_NAME).exists()
    with closing(Database(place)) as database:
        if database.revision() is None:
            return False
        with database.read() as session:
            return session.scalar(select(func.count()).select_from(TenantRow)) != 0


def _copy_file(source: Path, target: Path) -> None:
    if not source.is_file():
        raise Unavailable(f"{source} is missing.", fix="Name the home of a service: TSUGIKI_HOME.")
    damaged = ArtifactCorrupt("The database is damaged.", fix="Restore it from a backup.")
    try:
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
            live.backup(copy)  # in one step: a transaction that reads, and keeps no writer waiting
            found = copy.execute("PRAGMA integrity_check").fetchall()
    except sqlite3.OperationalError as error:
        raise Unavailable(f"The database cannot be copied: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise damaged from error
    if found != [("ok",)]:
        raise damaged


def _refuse_other(live: Database, copy: Database) -> None:
    """The rows are read as this release knows them."""
    live.check()
    if (found := live.revision()) != copy.revision():
        raise Unavailable(
            f"The database is at revision {found}; this release writes {copy.revision()}.",
            fix="Back up with the release that serves, or migrate first (python -m service.migrate).",
        )


def _copy(source: Session, target: Session) -> None:
    """Owners before what they own. `source` is in one transaction, which sees one state."""
    for table in Base.metadata.sorted_tables:
        with source.execute(select(table), execution_options={"yield_per": AT_ONCE}) as found:
            for some in found.mappings().partitions():
                target.execute(insert(table), [dict(row) for row in some])


def _count_on(target: Session) -> None:
    """PostgreSQL numbers rows by counters of their own, which know nothing of rows that brought their numbers."""
    for table in Base.metadata.sorted_tables:
        if (column := table.autoincrement_column) is not None:
            last = select(func.max(column)).scalar_subquery()
            counter = func.pg_get_serial_sequence(table.name, column.name)
            target.execute(select(func.setval(counter, func.coalesce(last, 1), last.is_not(None))))
